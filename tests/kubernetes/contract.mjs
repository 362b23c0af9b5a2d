// What holds of commands in pods, whatever cluster they are in: run over a real one and over the scripted one.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sha256 } from '../e2e/support.mjs';

export const counting = (n) => `i=0; while [ $i -lt ${n} ]; do echo line $i; echo error $i >&2; i=$((i+1)); sleep 0.1; done; exit 3`;

export function counted(seen, n) {
  const { stdout, stderr } = seen.checkReceipts();
  assert.equal(stdout.toString(), Array.from({ length: n }, (_, i) => `line ${i}\n`).join(''));
  assert.equal(stderr.toString(), Array.from({ length: n }, (_, i) => `error ${i}\n`).join(''));
  assert.deepEqual([seen.complete.exit_code, seen.complete.complete], [3, true]);
}

// `processes` = how many of a command's processes live in the pod, as text.
export function contract({ server, project, processes }) {
  const shell = (text, options) => server().rdev(['run', project, '--', 'sh', '-c', text], options);

  test('both streams and the exit code come back', async () => {
    const done = await shell('echo out; echo err >&2; exit 7');
    assert.deepEqual([done.stdout.toString(), done.stderr.toString(), done.code], ['out\n', 'err\n', 7]);
  });

  for (const [what, argv, code] of [
    ['nothing', ['true'], 0],
    ['a kill', ['sh', '-c', 'kill -9 $$'], 137],
    ['a program that is not there', ['no-such-program'], 127],
    ['a file that is no program', ['/etc/passwd'], 126],
  ])
    test(`exit code of ${what}`, async () => {
      assert.equal((await server().rdev(['run', project, '--', ...argv])).code, code);
    });

  test('20 MiB of random bytes arrive as they are', async () => {
    const done = await shell('f=$(mktemp); head -c 20971520 /dev/urandom | tee $f; sha256sum <$f >&2; rm $f');
    assert.equal(done.stdout.length, 20 * 1024 * 1024);
    assert.equal(done.stderr.toString().slice(0, 64), sha256(done.stdout));
  });

  test('50 at once', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, (_, i) => server().submit(`echo ${i}; echo e${i} >&2`, { project })));
    const seen = await Promise.all(all.map((one) => server().follow(one, { project })));
    seen.forEach((one, i) => {
      const { stdout, stderr } = one.checkReceipts();
      assert.deepEqual([stdout.toString(), stderr.toString()], [`${i}\n`, `e${i}\n`]);
    });
  });

  test('a cancel ends the whole tree in the pod', async () => {
    const one = await server().submit("trap '' TERM; setsid sleep 1000 & sleep 1000 & echo ready; while :; do sleep 1; done", { project });
    await server().follow(one, { project, until: (frame) => frame.event === 'output' });
    assert.equal((await server().api('POST', `/commands/${one}/cancel`)).status, 202);
    const view = await server().finished(one);
    assert.deepEqual([view.status, view.survivors], ['cancelled', 0]);
    assert.equal(await processes(one), '0');
  });

  test('a time-out does so, too', async () => {
    const one = await server().submit('sleep 1000 & sleep 1000', { project, timeout_seconds: 1 });
    const view = await server().finished(one);
    assert.equal(view.status, 'timed_out');
    assert.equal(await processes(one), '0');
  });

  test('a command survives the death of the server', async () => {
    const one = await server().submit(counting(60), { project });
    await server().follow(one, { project, until: (frame) => frame.event === 'output' });
    await server().kill9();
    await server().start();
    counted(await server().follow(one, { project }), 60);
  });

}
