// Whether the programs under test have failpoints.
import assert from 'node:assert/strict';
import path from 'node:path';
import { binDir, run } from '../e2e/support.mjs';
import { textOf } from './processes.mjs';

// Test builds say so in their version.
export async function hasFailpoints() {
  const answer = await run(path.join(binDir, 'rdev-api'), ['version']);
  return /^failpoints$/m.test(answer.stdout.toString());
}

// Undefined in a test build; else why what needs failpoints cannot be run. A test build that has lost them is an error.
export async function whyNoFailpoints() {
  if (await hasFailpoints()) return undefined;
  assert.match(textOf(path.join(binDir, 'CMakeCache.txt')), /^RDEV_FAILPOINTS:BOOL=OFF$/m,
    `rdev-api in ${binDir} has no failpoints, and its CMakeCache.txt does not say that none were wanted`);
  return 'this build has no failpoints';
}
