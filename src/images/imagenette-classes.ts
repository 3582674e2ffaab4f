/**
 * Imagenette's ten classes: ImageNet identifier (the folder) -> name, in label order.
 *
 * @example
 * IMAGENETTE_CLASSES.n03028079 // 'church'
 */
export const IMAGENETTE_CLASSES = {
  n01440764: 'tench',
  n02102040: 'english_springer',
  n02979186: 'cassette_player',
  n03000684: 'chain_saw',
  n03028079: 'church',
  n03394916: 'french_horn',
  n03417042: 'garbage_truck',
  n03425413: 'gas_pump',
  n03445777: 'golf_ball',
  n03888257: 'parachute',
} as const
