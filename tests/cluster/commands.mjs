// Commands that tests give to nodes, and what they ask of them afterwards.
import assert from 'node:assert/strict';
import { Transcript, waitFor } from '../e2e/support.mjs';

export const ended = (view) => !['queued', 'running'].includes(view.status);

// Leaves one line for each time that it is started, counts on both streams until it is told to stop, and knows how far
// it got.
export class Counting {
  constructor(name, { code = 0, pause: between = '0.03', project = 'demo' } = {}) {
    Object.assign(this, { name, code, project });
    this.script = `echo $$ >>starts-${name}
      i=0; while [ ! -e stop-${name} ]; do
        echo "out $i"; echo "err $i" >&2; echo >>steps-${name}; i=$((i+1)); sleep ${between}
      done
      exit ${code}`;
  }

  async submit(node, rest = {}) {
    this.id = await node.submit(this.script, { project: this.project, ...rest });
    return this.id;
  }
  stop(node) {
    node.put(`stop-${this.name}`, '', this.project);
  }

  // The whole record as each of `nodes` tells it; `seen` is a reader who was there before.
  async check(nodes, seen = []) {
    const [node] = nodes;
    const whole = (await node.follow(this.id, { project: this.project })).checkReceipts();
    const steps = node.take(`steps-${this.name}`, this.project).length;
    const numbers = (word) => Array.from({ length: steps }, (_, i) => `${word} ${i}\n`).join('');
    assert.equal(whole.stdout.toString(), numbers('out'), 'stdout');
    assert.equal(whole.stderr.toString(), numbers('err'), 'stderr');
    assert.equal(whole.complete.status, this.code === 0 ? 'completed' : 'failed');
    assert.equal(whole.complete.exit_code, this.code);
    assert.equal(whole.complete.complete, true);
    assert.equal(node.starts(this.name, this.project).length, 1, 'it was started once');
    for (const other of nodes.slice(1)) {
      const there = await other.follow(this.id, { project: this.project });
      assert.deepEqual(there.numbered, whole.numbered, `the stream at ${other.name}`);
      assert.deepEqual(await other.view(this.id), await node.view(this.id), `the view at ${other.name}`);
    }
    for (const reader of seen) assert.deepEqual(reader.numbered, whole.numbered, 'who was there before saw the same');
    return whole;
  }
}

// Reads a command's stream in the background. `grown(n)` waits for n more outputs than there are now.
export function watch(node, id, { project, headers, into = new Transcript() } = {}) {
  let outputs = 0;
  const until = (frame) => void (frame.event === 'output' && ++outputs);
  const end = node.follow(id, { project, headers, into, until });
  end.catch(() => {}); // whoever waits for the end hears of it
  return {
    seen: into,
    end,
    grown: (more) => {
      const goal = outputs + more;
      return waitFor(`${more} more outputs of ${id} at ${node.name}`, () => outputs >= goal);
    },
  };
}

// Repeats a submission with its Idempotency-Key, now here, now there, until it is accepted; what is dead or away is no
// answer.
export async function submitted(nodes, command, { key, project = 'demo', within, ...rest } = {}) {
  let turn = 0;
  let strange;
  const id = await waitFor(`${key} is accepted`, async () => {
    const node = nodes[turn++ % nodes.length];
    if (!node.lives || node.stopped) return false;
    const answer = await node.post(command, { key, project, ...rest }).catch((error) => ({ error }));
    if (![undefined, 202, 503].includes(answer.status)) strange = `${answer.status} ${answer.text}`;
    return answer.status === 202 && answer.data.id;
  }, within);
  assert.equal(strange, undefined, `${key} was answered with something else than 202 or 503`);
  return id;
}
