// deploy/prometheus/alerts.yaml beside what the server says in truth: a misspelt metric or label would never fire.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { Server, alive, waitFor } from './support.mjs';

const root = new URL('../../', import.meta.url);
const rules = fs.readFileSync(new URL('deploy/prometheus/alerts.yaml', root), 'utf8')
  .split(/^ *- alert: /m).slice(1)
  .map((text) => ({
    name: text.match(/^\w+/)[0],
    expr: text.match(/expr: (?:\|\n)?(.*?)\n {8}(?:for|labels):/s)[1],
    book: text.match(/runbook_url: (\S+)/)?.[1],
  }));

// What Prometheus, cAdvisor and kube-state-metrics say, not rdev.
const ofOthers = new Set(['up', 'container_cpu_usage_seconds_total', 'container_memory_working_set_bytes', 'kube_pod_container_resource_limits']);
// Given to every series by whoever scrapes it.
const ofTarget = new Set(['job', 'instance', 'namespace', 'pod']);
// Begins when something has died of a bug, which cannot be had from outside: only its name in the source is compared.
const ofBugs = new Set(['rdev_actor_restarts_total']);

// Faults that take minutes or thousands of requests, or are provoked in audit.test.mjs: only their names in the source are compared.
const slowFaults = { audit_dropped: 'actors/audit.cpp', audit_unsealed: 'actors/audit_sealer.cpp', audit_unwritable: 'actors/surroundings.hpp' };

const uses = rules.flatMap(({ name: alert, expr }) =>
  [...expr.matchAll(/([a-z]\w*)\{((?:[^"}]|"[^"]*")*)\}/g)].map(([, name, inside]) => ({
    alert,
    name,
    labels: [...inside.matchAll(/(\w+)(=~|!=|!~|=)"([^"]*)"/g)].map(([, label, how, value]) => ({ label, how, value })),
    by: [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list]) => list.split(/, */)),
  })),
);

let server;
let series; // {name, labels} of all that the server says
before(async () => {
  server = await Server.start();
  // What begins with its first event is made to happen: answers, refusals, a command, and a database that is away.
  await server.finished(await server.submit('true'));
  const lost = await server.submit(['sh', '-c', 'echo $PPID $$; exec sleep 1000']);
  const { stdout } = await server.follow(lost, { until: (frame) => frame.event === 'output' });
  for (const pid of stdout.toString().trim().split(' ')) process.kill(Number(pid), 'SIGKILL');
  assert.equal((await server.finished(lost)).status, 'lost');
  assert.equal((await server.api('GET', '/projects/nowhere')).status, 404);
  process.kill(server.postmaster(), 'SIGSTOP'); // it makes no new processes then
  const postgres = server.postgresPids();
  for (const pid of postgres) process.kill(pid, 'SIGSTOP');
  try {
    await waitFor('a request fails for it', async () => (await server.api('GET', '/commands')).status === 503);
    await waitFor('a fault is counted', async () => seriesOf(await metrics()).some(({ name }) => name === 'rdev_faults_total'));
  } finally {
    for (const pid of postgres) if (alive(pid)) process.kill(pid, 'SIGCONT');
  }
  series = seriesOf(await metrics());
});
after(() => server.close());

const metrics = async () => (await server.api('GET', '/metrics')).text;

function seriesOf(text) {
  return text.split('\n').filter((line) => /^[a-z]/.test(line)).map((line) => {
    const [, name, inside = ''] = line.match(/^(\w+)(?:\{(.*)\})? \S+$/);
    return { name, labels: Object.fromEntries([...inside.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, value]) => [label, value])) };
  });
}

test('the rules are read', () => {
  assert.ok(rules.length >= 15);
  for (const name of ['RdevAPIAuthFailures', 'RdevAPIHighCPU', 'RdevAPIHighMemory', 'RdevAPIProjectNotFound']) assert.ok(rules.some((rule) => rule.name === name), name);
  for (const { name, expr } of rules) {
    const named = new Set([...expr.replace(/"[^"]*"/g, '').matchAll(/\b(?:up|(?:rdev|http|process|container|kube)_\w+)\b/g)].map(([word]) => word));
    assert.deepEqual(named, new Set(uses.filter((use) => use.alert === name).map((use) => use.name)), `what ${name} looks at`);
  }
});

for (const name of new Set(uses.map((use) => use.name).filter((one) => !ofOthers.has(one))))
  test(`${name} is there, with the labels that alerts ask for`, async () => {
    if (ofBugs.has(name)) {
      assert.ok(fs.readFileSync(new URL('adapters/telemetry/prometheus_metrics.cpp', root), 'utf8').includes(`"${name}"`));
      return;
    }
    const mine = series.filter((one) => one.name === name);
    assert.ok(mine.length > 0, 'it is in /metrics');
    for (const use of uses.filter((one) => one.name === name)) {
      for (const { label, how, value } of use.labels.filter((one) => !ofTarget.has(one.label))) {
        const values = mine.map(({ labels }) => labels[label]).filter((one) => one !== undefined);
        assert.ok(values.length > 0, `${use.alert}: there is a label ${label}`);
        if (how === '=~') assert.ok(values.some((one) => new RegExp(`^(?:${value.replace(/[{}]/g, '\\$&')})$`).test(one)), `${use.alert}: ${label} can be like ${value}`);
        const source = slowFaults[value];
        if (source) assert.ok(fs.readFileSync(new URL(source, root), 'utf8').includes(`"${value}"`), `${source} counts ${value}`);
        else if (how === '=' || how === '!=') assert.ok(values.includes(value), `${use.alert}: ${label} can be ${value}`);
      }
      for (const label of use.by.filter((one) => !ofTarget.has(one))) assert.ok(mine.every(({ labels }) => label in labels), `${use.alert}: by ${label}`);
    }
  });

test('each alert has its page and its place in it', () => {
  for (const { name, book } of rules) {
    const [, file, anchor] = book?.match(/\/(docs\/operations\/runbooks\/[a-z-]+\.md)(?:#(.*))?$/) ?? assert.fail(name);
    const headings = [...fs.readFileSync(new URL(file, root), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading);
    if (anchor === undefined) assert.match(fs.readFileSync(new URL(file, root), 'utf8'), new RegExp(`\`${name}\``));
    else assert.ok(anchor === name.toLowerCase() && headings.includes(name), `${name}: ${book}`);
  }
});
