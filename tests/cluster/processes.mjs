// What /proc and the kernel tell of processes, and how they are ended for certain.
import fs from 'node:fs';
import { alive, allPids, commandLine } from '../e2e/support.mjs';

const orElse = (otherwise, look) => {
  try {
    return look();
  } catch {
    return otherwise;
  }
};
export const textOf = (file) => orElse('', () => fs.readFileSync(file, 'utf8'));
export const namesIn = (folder) => orElse([], () => fs.readdirSync(folder));
const linkOf = (file) => orElse('', () => fs.readlinkSync(file));

export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export const stopped = (pid) => /\) T /.test(textOf(`/proc/${pid}/stat`));
export const environmentOf = (pid) => textOf(`/proc/${pid}/environ`).split('\0');
export const programOf = (pid) => linkOf(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
export const openFilesOf = (pid) => namesIn(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));

// All that lives but this process and the kernel's own threads, which have no program.
export const programs = () => allPids().filter((pid) => pid !== process.pid && programOf(pid) !== '' && alive(pid));

// Whether it works in a folder, names it or something in it, or has files of it open.
export function touches(pid, folder) {
  const inside = (text) => text === folder || text.startsWith(`${folder}/`);
  return inside(linkOf(`/proc/${pid}/cwd`)) || commandLine(pid).some(inside) || openFilesOf(pid).some(inside);
}

const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

// Synchronous, for what also runs when the test process exits: until `find` finds nobody, or for `rounds` times 50 ms.
export function endAll(find, name = 'SIGKILL', rounds = 100) {
  for (let round = 0; round < rounds; ++round) {
    const pids = find();
    if (pids.length === 0) return;
    for (const pid of pids) signal(pid, name);
    pause(50);
  }
}

// For what is dear to look at: at most ten times a second; in between it says what it said last.
export function rarely(probe) {
  let next = 0;
  let last;
  return () => {
    if (Date.now() < next) return last;
    last = probe();
    next = Date.now() + 100;
    return last;
  };
}
