// Nothing lost, nothing twice, in pods: nodes are killed and frozen while the cluster has troubles of its own. The long form is
// `./dev bench chaos --pods real`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { chaos } from '../cluster/chaos.mjs';
import { testSeed } from '../e2e/support.mjs';
import { kubeconfig } from './cluster.mjs';
import { whyNoPods } from './fake_cluster.mjs';
import { RealPods, ScriptedPods } from './pods_world.mjs';

const commands = 30;
const strikes = 8;

for (const [where, World, skip] of [
  ['of the scripted cluster', ScriptedPods, whyNoPods()],
  ['of a real cluster', RealPods, !kubeconfig && 'SKIPPED: RDEV_TEST_KUBECONFIG names no cluster; ./dev testbed up makes one'],
])
  describe(`in pods ${where}`, { skip, timeout: 600_000 }, () => {
    test(`${commands} commands outlive ${strikes} kills and freezes, and run once`, async () => {
      const said = [];
      const pods = await World.start();
      try {
        const summary = await chaos({ seed: testSeed(), commands, strikes, rounds: 1, pods, log: (line) => said.push(line) });
        const { violations, evidence, ...figures } = summary;
        console.log(JSON.stringify(figures));
        assert.deepEqual(violations, [], [...violations.map((one) => JSON.stringify(one)), ...evidence, ...said].join('\n'));
        assert.equal(summary.commands, commands, 'every command was accepted');
        assert.equal(summary.lost, 0);
        assert.ok(Object.keys(summary.troubles).length > 0, 'the cluster had troubles');
      } finally {
        await pods.close();
      }
    });
  });
