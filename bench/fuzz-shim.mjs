// Node's permission model forbids process.binding, of which h5wasm (emscripten) wants nothing but these constants.
import { constants } from 'node:fs'

process.binding = () => ({ fs: constants })
