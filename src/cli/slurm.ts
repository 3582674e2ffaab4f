import { fileURLToPath } from 'node:url'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { wholeNumber } from './flags.js'
import { trainCommand } from './train.js'

interface SlurmFlags {
  tasks?: number
  atOnce?: number
  cpus?: number
  nodes?: number
  memory?: string
  time?: string
  partition?: string
  restarts: number
  log: string
}

/** `weightzoo slurm`. */
export function addSlurm(program: Command): void {
  program
    .command('slurm')
    .description(
      "print a Slurm job array that trains a zoo: weightzoo slurm --tasks 100 <train's flags> | sbatch",
    )
    .usage("[options] <train's flags>")
    .option(
      '--tasks <n>',
      'parts of the zoo, one task of the array each (default: 16, or as many as nodes)',
      wholeNumber(1),
    )
    .addOption(
      new Option('--nodes <n>', 'take so many whole nodes, one for a task at a time')
        .argParser(wholeNumber(1))
        .conflicts(['cpus', 'atOnce']),
    )
    .option('--cpus <n>', 'cores of a task, each trains a network (default: 4)', wholeNumber(1))
    .option('--at-once <n>', 'tasks that may run at the same time (default: as many as fit)', wholeNumber(1))
    .option('--memory <size>', 'memory of a task, as sbatch --mem takes it, e.g. 4G', word)
    .option('--time <limit>', 'time limit of a task, as sbatch --time takes it, e.g. 12:00:00', word)
    .option('--partition <name>', 'the partition to run in', word)
    .option('--restarts <n>', 'how often a task that was stopped goes on by itself', wholeNumber(0), 20)
    .option('--log <path>', 'log file; %A is the job, %a the task', word, 'weightzoo-%A_%a.log')
    .argument("[train's flags...]", 'as in weightzoo train --help; --out has to be on a shared file system')
    .allowUnknownOption()
    .action((train: string[], flags: SlurmFlags, command: Command) => {
      checkTrainFlags(train, command)
      process.stdout.write(script(train, flags))
    })
}

/** What `weightzoo train` would refuse is better refused here than in a hundred logs. */
function checkTrainFlags(train: readonly string[], slurm: Command): void {
  const command = trainCommand().copyInheritedSettings(slurm)
  command.parse([...train], { from: 'user' })
  const { shard, concurrency } = command.opts()
  if (shard || concurrency)
    slurm.error('error: --shard and --concurrency are set by the tasks; leave them out')
}

/** The value ends up in a comment that Slurm reads: one word. */
function word(text: string): string {
  if (/^[\w.:%/@=,+-]+$/.test(text)) return text
  throw new InvalidArgumentError('needs one word.')
}

function script(train: readonly string[], flags: SlurmFlags): string {
  const { nodes, atOnce = nodes, cpus = 4, tasks = nodes ?? 16 } = flags
  const { memory, time, partition, restarts, log } = flags
  const directives = [
    '--job-name=weightzoo',
    `--array=1-${tasks}${atOnce ? `%${atOnce}` : ''}`,
    '--ntasks=1',
    ...(nodes ? ['--nodes=1', '--exclusive'] : [`--cpus-per-task=${cpus}`]),
    ...(memory ? [`--mem=${memory}`] : []),
    ...(time ? [`--time=${time}`] : []),
    ...(partition ? [`--partition=${partition}`] : []),
    '--requeue',
    '--open-mode=append',
    `--output=${log}`,
    '--signal=B:TERM@60',
  ]
  const program = [process.execPath, fileURLToPath(new URL('../cli.js', import.meta.url))]
    .map(quoted)
    .join(' ')
  return `#!/bin/bash
${directives.map(directive => `#SBATCH ${directive}`).join('\n')}

# A zoo in ${tasks} parts, all into one directory. A task that ends before its part is done (killed, out of time, its node
# lost) is queued again and goes on; the task that ends last compiles the zoo. Submitting this script again is safe:
# what is done is not done again.
set -u

${program} train ${train.map(quoted).join(' ')} \\
  --shard "$SLURM_ARRAY_TASK_ID/${tasks}" --concurrency "$${nodes ? 'SLURM_CPUS_ON_NODE' : 'SLURM_CPUS_PER_TASK'}" &
child=$!

# A minute before the time limit, and when the node is drained, Slurm sends TERM: what is finished is kept.
trap 'kill -TERM "$child" 2>/dev/null' TERM
wait "$child"
code=$?
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
  code=$?
done

# 0: done. 2: wrong flags. 3: done, but for networks that failed and are on record.
case "$code" in 0 | 2 | 3) exit "$code" ;; esac
restarts=\${SLURM_RESTART_COUNT:-0}
if [ "$restarts" -ge ${restarts} ]; then
  echo "task $SLURM_ARRAY_TASK_ID ended with code $code after $restarts restarts; submit again to go on" >&2
  exit "$code"
fi
echo "task $SLURM_ARRAY_TASK_ID ended with code $code; it goes on as restart $((restarts + 1))" >&2
scontrol requeue "\${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
`
}

/** For bash: taken as it is. */
function quoted(text: string): string {
  return /^[\w.:/=,+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
