import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import * as api from '../dist/index.js'

/** Modules outside dist/ that a declaration file and all it reaches import. */
function foreignImports(url: URL, seen = new Set<string>()): Set<string> {
  const foreign = new Set<string>()
  if (seen.has(url.href)) return foreign
  seen.add(url.href)
  const text = readFileSync(url, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '')
  const specifiers = /(?:\bfrom\s*|\bimport\s*\(?\s*|types=)["']([^"']+)["']/g
  for (const [, specifier] of text.matchAll(specifiers)) {
    if (!specifier!.startsWith('.')) foreign.add(specifier!)
    else {
      const next = new URL(specifier!.replace(/\.js$/, '.d.ts'), url)
      for (const name of foreignImports(next, seen)) foreign.add(name)
    }
  }
  return foreign
}

describe('the public API', () => {
  it('exports these names', () => {
    expect(Object.keys(api).sort()).toMatchInlineSnapshot(`
      [
        "Chart",
        "EXPORT_FORMATS",
        "GaussianNaiveBayes",
        "IMAGENETTE_CLASSES",
        "ImageFolderLoader",
        "ImagenetteLoader",
        "LeNet5",
        "MlpClassifier",
        "OneVsAllSampler",
        "Outputs",
        "PrincipalComponents",
        "RandomForest",
        "RandomStream",
        "Standardization",
        "SvmClassifier",
        "WeightDataset",
        "Zoo",
        "ZooError",
        "arrayRows",
        "asWeightMatrix",
        "binaryMetrics",
        "classDifferenceChart",
        "classWeightsChart",
        "classifierChart",
        "compileZoo",
        "confusionChart",
        "createImageSet",
        "crossValidate",
        "describeArchitecture",
        "diagnose",
        "divergenceByLayerChart",
        "divergenceChart",
        "ensembles",
        "entropy",
        "evaluate",
        "evaluateLayers",
        "evaluateWeights",
        "exportZoo",
        "flattenModelwise",
        "generateImages",
        "groupLayerwise",
        "importZoo",
        "initialWeights",
        "isZooError",
        "jensenShannon",
        "jobFactory",
        "kFold",
        "kMeans",
        "layerDivergence",
        "layerRows",
        "layerWeightsChart",
        "lenet5",
        "lenet5Architecture",
        "materialize",
        "mergeZoos",
        "metricsChart",
        "nearZeroChart",
        "networkDivergence",
        "openEngine",
        "openSafetensors",
        "openZoo",
        "outliers",
        "outputSimilarity",
        "pairwiseDistances",
        "philox4x32",
        "principalComponents",
        "principalFeatures",
        "resolveRecipe",
        "rocCurve",
        "score",
        "silhouettes",
        "stackRows",
        "stratifiedSplit",
        "subsetRows",
        "summarize",
        "toLayersModel",
        "trainZoo",
        "trainingChart",
        "verifyZoo",
        "weightBatches",
        "weightDistributions",
        "weightStatistics",
        "weightsChart",
        "wilsonInterval",
        "withLabels",
        "withPreprocessing",
        "withWeightSummaries",
        "writeReport",
      ]
    `)
  })

  it('shows no types of third parties but tfjs and Node', () => {
    const foreign = foreignImports(new URL('../dist/index.d.ts', import.meta.url))
    expect(foreign).toContain('@tensorflow/tfjs-layers')
    expect([...foreign].filter(name => !/^(@tensorflow\/|node(:|$))/.test(name))).toEqual([])
  })
})
