import { networkName } from './files.js'
import type { LedgerRecord, NetworkRecord } from './ledger.js'
import type { TrainedZooManifest } from './manifest.js'
import { OutputsReader } from './outputs.js'
import { interruptedAfter, type NetworkId } from './plan.js'
import type { ProgressMeter } from './progress.js'
import type { TrainZooOptions } from './train-zoo.js'
import { hasOutputs, hasWholeFiles } from './whole.js'

/** A network to be trained. */
export interface Waiting extends NetworkId {
  /** 1 for a network that has never been trained. */
  readonly attempt: number
}

/** What a directory lacks of a plan. */
export interface StillToDo {
  /**
   * To be trained: networks without a line in the ledger, those whose file is gone or is not what their line says, and
   * failed ones if they are to be tried again.
   */
  readonly waiting: Waiting[]
  /** Networks that are whole but for their outputs, which their weights give. */
  readonly lackingOutputs: readonly NetworkRecord[]
}

/** Looks through all networks of a share; tells the meter of those of which nothing is to do. */
export async function stillToDo(
  share: readonly NetworkId[],
  records: readonly LedgerRecord[],
  { images, stores = {} }: TrainedZooManifest,
  { out, retryFailed = false, signal, onProgress }: TrainZooOptions,
  meter: ProgressMeter,
): Promise<StillToDo> {
  const byName = new Map(records.map(record => [networkName(record.class, record.index), record]))
  const stored = new OutputsReader(out, images.validation)
  const waiting: Waiting[] = []
  const lackingOutputs: NetworkRecord[] = []
  let told = performance.now()
  const place = async (id: NetworkId): Promise<void> => {
    const record = byName.get(networkName(id.className, id.index))
    if (record?.status === 'failed' && !retryFailed) meter.settle('failed')
    else if (record?.status !== 'finished' || !(await hasWholeFiles(record, out, stores)))
      waiting.push({ ...id, attempt: record ? (record.attempt ?? 1) + 1 : 1 })
    else if (stores.outputs && !(await hasOutputs(record, stored))) lackingOutputs.push(record)
    else meter.settle('finished')
  }
  try {
    for (const [position, id] of share.entries()) {
      if (signal?.aborted) throw interruptedAfter(0, share.length)
      await place(id)
      if (performance.now() - told < CHECKING_INTERVAL) continue
      told = performance.now()
      onProgress?.({ ...meter.now(), stage: 'checking', checked: position + 1 })
    }
    return { waiting, lackingOutputs }
  } finally {
    await stored.close()
  }
}

/** Milliseconds between two words on how far the checking of files is; 1,000 LeNet-5 take less. */
const CHECKING_INTERVAL = 1000
