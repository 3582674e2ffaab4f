import { type PrincipalComponentsOptions, principalComponents } from '../analysis/principal-components.js'
import { arrayRows } from '../zoo/rows.js'
import type { Preprocessing } from './classifier.js'

/**
 * A preprocessing that replaces weights by their principal components, fitted on the training rows alone: some tens of
 * features in place of 91,481, on which trees, SVMs and MLPs learn in seconds. Components are turned so that the one with
 * most variance comes first; none is scaled.
 *
 * @param options as of `principalComponents`; default 50 components, or as many as the training rows have. Rows with no
 *   more columns than that stay as they are, as nothing would be saved.
 *
 * @example
 * withPreprocessing(principalFeatures({ components: 50, seed: 7 }), new MlpClassifier({ seed: 7 }))
 */
export function principalFeatures(
  options: Pick<PrincipalComponentsOptions, 'components' | 'iterations' | 'oversampling' | 'seed'> = {},
): Preprocessing {
  const { components = 50, ...rest } = options
  return async (train, _labels, { signal } = {}) => {
    const [rows, columns] = train.shape
    if (columns <= components) return same => same
    const count = Math.min(components, rows - 1)
    const pca = await principalComponents(train, { ...rest, components: count, signal })
    return async others => {
      const scores = await pca.transform(others)
      return arrayRows(Float32Array.from(scores.flat()), count, others.names)
    }
  }
}
