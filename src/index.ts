/**
 * weightzoo makes, stores and reads datasets of trained neural networks.
 *
 * Data flows one way: images, sampling, architecture, training, zoo, views, analysis and classifiers.
 *
 * ```ts
 * import { ImagenetteLoader, trainZoo, flattenModelwise, groupLayerwise, layerDivergence } from 'weightzoo'
 *
 * const images = await new ImagenetteLoader({ source: 'imagenette2-320.tgz' }).load()
 * const zoo = await trainZoo({ images, out: 'zoo', perClass: 2, seed: 7 })
 *
 * zoo.network('church', 0).metrics.accuracy
 * const model = await zoo.model('church', 0) // a tfjs LayersModel
 *
 * const rows = await flattenModelwise(zoo) // [20, 91481] with labels
 * const byLayer = await groupLayerwise(zoo)
 * byLayer.matrix('church', 'conv2d_2').shape // [2, 48120]
 *
 * const { conv2d_2 } = await layerDivergence(byLayer) // class x class Jensen-Shannon
 * ```
 *
 * @module
 */

export {
  type Ensembles,
  ensembles,
  outputSimilarity,
  type RocCurve,
  rocCurve,
  type Similarities,
} from './analysis/behaviour.js'
export type { StudyOptions } from './analysis/blocks.js'
export { type DistanceOptions, type Distances, pairwiseDistances } from './analysis/distances.js'
export {
  type DistributionOptions,
  type WeightDistribution,
  type WeightDistributions,
  weightDistributions,
} from './analysis/distributions.js'
export {
  type ClassDivergence,
  type DivergenceOptions,
  jensenShannon,
  layerDivergence,
  networkDivergence,
} from './analysis/divergence.js'
export { type EntropyUnit, entropy, type Histogram, type ValueRange } from './analysis/histogram.js'
export { type Clusters, type KMeansOptions, kMeans } from './analysis/k-means.js'
export type { Moments } from './analysis/moments.js'
export type { Pair, PairMatrix } from './analysis/pair-matrix.js'
export {
  PrincipalComponents,
  type PrincipalComponentsOptions,
  principalComponents,
} from './analysis/principal-components.js'
export type { Quantile } from './analysis/quantiles.js'
export type { CommonValue } from './analysis/rounded-values.js'
export { type Silhouettes, silhouettes } from './analysis/silhouettes.js'
export { type WeightStatistics, weightStatistics } from './analysis/weight-statistics.js'
export {
  type Activation,
  type Architecture,
  type ArchitectureSpec,
  describeArchitecture,
  type FeatureShape,
  type Layer,
  type LayerBase,
  type LayerSpec,
  type ParameterEntry,
} from './architecture/architecture.js'
export { type Initializer, initialWeights } from './architecture/initial-weights.js'
export { type LeNet5Options, lenet5, lenet5 as LeNet5, lenet5Architecture } from './architecture/lenet5.js'
export { toLayersModel } from './architecture/to-layers-model.js'
export {
  type Classifier,
  type FitControl,
  type Preprocessing,
  type RowChange,
  withPreprocessing,
} from './classifiers/classifier.js'
export {
  type CrossValidateOptions,
  crossValidate,
  type EvaluateOptions,
  evaluate,
  evaluateLayers,
  type LayerEvaluation,
} from './classifiers/evaluate.js'
export {
  GaussianNaiveBayes,
  type GaussianNaiveBayesModel,
  type GaussianNaiveBayesOptions,
} from './classifiers/gaussian-naive-bayes.js'
export { MlpClassifier, type MlpEpoch, type MlpOptions } from './classifiers/mlp-classifier.js'
export { principalFeatures } from './classifiers/principal-features.js'
export { RandomForest, type RandomForestOptions } from './classifiers/random-forest.js'
export {
  type ClassScore,
  type Evaluation,
  type ScoreOptions,
  score,
  wilsonInterval,
} from './classifiers/scoring.js'
export {
  type KFoldOptions,
  kFold,
  type Split,
  type SplitOptions,
  stratifiedSplit,
} from './classifiers/splits.js'
export { SvmClassifier, type SvmOptions } from './classifiers/svm-classifier.js'
export { isZooError, ZooError, type ZooErrorFields, type ZooErrorTag } from './errors.js'
export {
  EXPORT_FORMATS,
  type ExportedZoo,
  type ExportFormat,
  type ExportOptions,
  exportZoo,
} from './exchange/export-zoo.js'
export { type ImportProgress, type ImportZooOptions, importZoo } from './exchange/import-zoo.js'
export { openSafetensors, type SafetensorsFile } from './exchange/safetensors.js'
export { type GenerateImagesOptions, generateImages } from './images/generate-images.js'
export {
  ImageFolderLoader,
  type ImageFolderOptions,
  type ImageLoaderOptions,
  type ImageProgress,
} from './images/image-folder-loader.js'
export {
  createImageSet,
  type ImageSet,
  type ImageSetInput,
  type ImageSets,
  type ImageSplit,
  type ImageSplitInput,
  type SkippedImage,
} from './images/image-set.js'
export { IMAGENETTE_CLASSES } from './images/imagenette-classes.js'
export {
  ImagenetteLoader,
  type ImagenetteName,
  type ImagenetteOptions,
} from './images/imagenette-loader.js'
export type { Agreement } from './networks/agreement.js'
export {
  type Diversity,
  type EvaluatedNetwork,
  type EvaluateWeightsOptions,
  type EvaluationProgress,
  evaluateWeights,
  type NearestNetwork,
  type WeightsEvaluation,
} from './networks/evaluate-weights.js'
export { materialize } from './networks/materialize.js'
export { Standardization, type StandardizePer } from './networks/standardization.js'
export type { WeightBatch } from './networks/weight-batch.js'
export {
  type FedBatch,
  type TensorDataset,
  type TensorPair,
  type WeightBatchesOptions,
  WeightDataset,
  type WeightFeed,
  weightBatches,
} from './networks/weight-batches.js'
export type { WeightTokens, WeightViews } from './networks/weight-views.js'
export { philox4x32, RandomStream } from './random.js'
export { Chart, type ChartParts, type ChartRow, type ChartView } from './report/chart.js'
export {
  type ClassifierResult,
  type ClassifierRow,
  type ConfusionRow,
  classifierChart,
  confusionChart,
} from './report/charts/classification.js'
export {
  type ClassDensityRow,
  classDifferenceChart,
  classWeightsChart,
  type DensityRow,
  layerWeightsChart,
  nearZeroChart,
  weightsChart,
} from './report/charts/distributions.js'
export {
  type DivergenceRow,
  divergenceByLayerChart,
  divergenceChart,
  type LayerDivergenceRow,
} from './report/charts/divergence.js'
export { type MetricsRow, metricsChart } from './report/charts/metrics.js'
export { type TrainingRow, trainingChart } from './report/charts/training.js'
export type { LeftOut, ReportProgress, WeightStudy } from './report/study.js'
export { type Report, type ReportOptions, writeReport } from './report/write-report.js'
export {
  type OneVsAllSample,
  OneVsAllSampler,
  type OneVsAllSamplerOptions,
} from './sampling/one-vs-all-sampler.js'
export type { CheckpointRule } from './training/checkpoints.js'
export { jobFactory, type NetworkJob } from './training/create-job.js'
export type {
  Engine,
  EngineName,
  EpochRecord,
  EvaluationControl,
  EvaluationJob,
  LossName,
  OptimizerSettings,
  TrainingControl,
  TrainingJob,
  TrainingResult,
} from './training/engine.js'
export { type Diagnosis, diagnose, type EngineDiagnosis } from './training/engines/doctor.js'
export { type OpenEngineOptions, openEngine } from './training/engines/open-engine.js'
export { binaryMetrics, type Metrics } from './training/metrics.js'
export type { OptimizerOptions } from './training/optimizer.js'
export { type Recipe, type RecipeOptions, resolveRecipe } from './training/recipe.js'
export type {
  Distribution,
  HyperparameterName,
  Hyperparameters,
  Variation,
  VaryOptions,
} from './training/vary.js'
export type { Finding } from './zoo/audit.js'
export type { Checkpoints } from './zoo/checkpoint-file.js'
export { type CompileOptions, compileZoo } from './zoo/compile.js'
export type {
  FailureRecord,
  NetworkRecord,
  StoredCheckpoints,
  StoredOutputs,
  TrainingHistory,
} from './zoo/ledger.js'
export type {
  ImagesDescription,
  ImportedZooManifest,
  ImportOrigin,
  Stores,
  TrainedZooManifest,
  ZooManifest,
} from './zoo/manifest.js'
export { type MergeOptions, type MergeProgress, mergeZoos } from './zoo/merge.js'
export { type Outlier, outliers, withWeightSummaries } from './zoo/outliers.js'
export { Outputs } from './zoo/outputs.js'
export type { TrainingProgress } from './zoo/progress.js'
export {
  arrayRows,
  asWeightMatrix,
  type LabelledRows,
  layerRows,
  type Rows,
  stackRows,
  subsetRows,
  withLabels,
} from './zoo/rows.js'
export type { Shard } from './zoo/shard.js'
export type { NetworkPart, NetworkSplit } from './zoo/split.js'
export { type ClassSummary, type Spread, summarize } from './zoo/summary.js'
export { type TrainZooOptions, trainZoo } from './zoo/train-zoo.js'
export { type Verification, type VerifyOptions, type VerifyStage, verifyZoo } from './zoo/verify.js'
export { flattenModelwise, groupLayerwise, type LayerwiseView, type ViewOptions } from './zoo/views.js'
export type { WeightMatrix } from './zoo/weight-matrix.js'
export type { WeightSummary } from './zoo/weight-summary.js'
export type { WeightArray, Weights } from './zoo/weights.js'
export { type LayerWeights, openZoo, type Selection, Zoo } from './zoo/zoo.js'
