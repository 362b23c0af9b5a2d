// Nothing lost, nothing twice: the short form of the chaos run. The long one is `./dev bench chaos`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../e2e/support.mjs';
import { chaos } from './chaos.mjs';
import { makePlan, serverFailpoints } from './plan.mjs';

const seed = testSeed();
const commands = 40;
const strikes = 10;

test('what is asked and how it strikes is decided by the seed alone', () => {
  const plan = (of) => makePlan({ seed: of, commands, strikes, failpoints: serverFailpoints });
  assert.deepEqual(plan(seed), plan(seed));
  assert.notDeepEqual(plan(seed), plan(seed + 1));
});

test(`${commands} commands outlive ${strikes} kills and freezes of one node and of two, and run once`, async () => {
  const said = [];
  const summary = await chaos({ seed, commands, strikes, rounds: 1, log: (line) => said.push(line) });
  const { violations, evidence, ...figures } = summary;
  console.log(JSON.stringify(figures));
  assert.deepEqual(violations, [], [...violations.map((one) => JSON.stringify(one)), ...evidence, ...said].join('\n'));
  assert.equal(summary.commands, commands, 'every command was accepted');
  assert.equal(summary.strikes.kill + summary.strikes.freeze, strikes);
  const { queued, starting, running, ending } = summary.struck;
  assert.ok(running > 0 && queued + starting + ending > 0, `it struck what was going on: ${said.join('\n')}`);
});
