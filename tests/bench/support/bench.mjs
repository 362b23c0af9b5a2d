// What the measurements over HTTP have in common: a server of their own, wrk, medians, and bars.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';

import { cleanEnv, run, Server } from '../../e2e/support.mjs';

export { run, Server, sleep, waitFor } from '../../e2e/support.mjs';

// The value below which `share` of them lie.
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))];
}
export const median = (values) => percentile(values, 0.5);

export function printSeries(name, values, unit, digits = 0) {
  const [low, high] = [Math.min(...values), Math.max(...values)].map((n) => n.toFixed(digits));
  console.log(`${name.padEnd(36)} median ${median(values).toFixed(digits)} (${low} to ${high}, ${values.length} repetitions) ${unit}`);
}

let missed = 0;

// The process ends with 1 when a bar is missed.
function judge(good, said) {
  console.log(`${said}: ${good ? 'reached' : 'MISSED'}`);
  if (!good) ++missed;
}
export const atMost = (what, value, bar, unit, digits = 1) =>
  judge(value <= bar, `${what}: ${value.toFixed(digits)} ${unit}, bar: at most ${bar} ${unit}`);
export const atLeast = (what, value, bar, unit, digits = 1) =>
  judge(value >= bar, `${what}: ${value.toFixed(digits)} ${unit}, bar: at least ${bar} ${unit}`);

export function verdict() {
  process.exitCode = missed > 0 ? 1 : 0;
}

// What went wrong makes every figure worthless.
export function must(good, what) {
  if (!good) throw new Error(what);
}

// Runs `measure` with a server that limits nobody, and takes the server away again.
export async function withServer(env, measure) {
  const server = await Server.start({ env: { RATE_LIMIT_RPS: '0', RDEV_LOG_LEVEL: 'info', ...env } });
  try {
    await measure(server);
  } catch (error) {
    console.error(`bench: ${error.stack}`);
    ++missed;
  } finally {
    await server.close().catch((error) => {
      console.error(`bench: the server did not end well: ${error.message}`);
      ++missed;
    });
  }
  verdict();
}

// What a counter of the server says now; `name` with its labels.
export async function counter(server, name) {
  const { text } = await server.api('GET', '/metrics');
  return Number(text.split('\n').find((line) => line.startsWith(`${name} `)).split(' ')[1]);
}

// The most memory that a process has ever had, in MiB.
export function peakMemory(pid) {
  const line = /^VmHWM:\s*(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line[1]) / 1024;
}

// User and system time that a process has used, in seconds.
export function cpuSeconds(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export const found = (program) => spawnSync('sh', ['-c', `command -v ${program}`], { env: cleanEnv() }).status === 0;

const milliseconds = (text) => parseFloat(text) * { us: 0.001, ms: 1, s: 1000, m: 60_000 }[/[a-z]+$/.exec(text)[0]];

// One run of wrk; every answer must be one of success.
export async function wrk(url, { connections, seconds, headers = {}, script, args = [] }) {
  must(found('wrk'), 'wrk is missing: apt-get install wrk');
  const given = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '10s'];
  for (const [name, value] of Object.entries(headers)) given.push('-H', `${name}: ${value}`);
  if (script) given.push('-s', script);
  const answer = await run('wrk', [...given, url, ...args]);
  const said = answer.stdout.toString();
  must(answer.code === 0, `wrk: ${said}${answer.stderr}`);
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(said)?.[1] ?? 0;
  const broken = /Socket errors: (.*)/.exec(said)?.[1];
  must(Number(bad) === 0 && !broken, `wrk ${url}: ${bad} answers were refusals; ${broken ?? 'no socket errors'}`);
  return {
    rate: Number(/Requests\/sec:\s*([\d.]+)/.exec(said)[1]),
    requests: Number(/(\d+) requests in/.exec(said)[1]),
    p50: milliseconds(/^\s+50%\s+(\S+)/m.exec(said)[1]),
    p99: milliseconds(/^\s+99%\s+(\S+)/m.exec(said)[1]),
  };
}
