import type { Command } from 'commander'
import { diagnose } from '../index.js'
import { EXIT } from './exit.js'

/** `weightzoo doctor`. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('say what this machine has to train with, and what would make it faster')
    .option('--json', 'print JSON for programs')
    .action(doctor)
}

async function doctor({ json = false } = {}): Promise<void> {
  const found = await diagnose()
  if (json) {
    console.log(JSON.stringify(found))
    return
  }
  const { node, platform, processor, cores, features, engines, auto, advice } = found
  console.log(
    [
      `node       ${node}, ${platform}`,
      `processor  ${processor}, ${cores} cores${features.length > 0 ? `, ${features.join(' ')}` : ''}`,
      '',
      ...engines.flatMap(({ name, loads, problem, path, instructionSet, arithmetic }) => [
        `${name.padEnd(9)}  ${loads ? 'loads' : 'does not load'}${instructionSet ? `, ${instructionSet}` : ''}`,
        ...[path, arithmetic, problem].filter(line => line !== undefined).map(line => `           ${line}`),
      ]),
      '',
      auto ? `auto       ${auto.engine}: ${auto.reason}` : 'auto       no engine loads',
      ...advice.map(sentence => `advice     ${sentence}`),
    ].join('\n'),
  )
  if (!auto) process.exitCode = EXIT.failure
}
