// Commands in pods of a scripted cluster: the contract, and the faults that a real cluster shows rarely.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, beforeEach, describe, test } from 'node:test';

import { Server, sha256, waitFor } from '../e2e/support.mjs';
import { contract, counted, counting } from './contract.mjs';
import { FakeCluster, whyNoPods } from './fake_cluster.mjs';

const skip = whyNoPods();
const id = 'demo';

const startOn = (cluster, env = {}) => Server.start({
  env: { KUBECONFIG: cluster.kubeconfig, RDEV_RUNNER_KIND: 'kubernetes', RDEV_KUBERNETES_IMAGE: 'any:1', RDEV_KUBERNETES_RUN_DIR: cluster.runDir, RDEV_COMMANDS_KILL_GRACE: '1s', ...env },
});
const runs = (server) => waitFor('the project runs', async () => (await server.api('GET', `/projects/${id}`)).data?.status === 'running');
const livingOf = (mark) => fs.readdirSync('/proc').filter((pid) => {
  try {
    return /^\d+$/.test(pid) && fs.readFileSync(`/proc/${pid}/environ`, 'latin1').includes(mark);
  } catch {
    return false;
  }
}).length;

for (const knowsV5 of [false, true])
  describe(`a scripted cluster ${knowsV5 ? 'of today' : 'that knows no v5'}`, { timeout: 300_000, skip }, () => {
    let cluster;
    let server;
    before(async () => {
      cluster = await FakeCluster.start({ knowsV5 });
      server = await startOn(cluster);
      assert.equal((await server.api('POST', '/projects', { id })).status, 201);
      await runs(server);
    });
    after(async () => {
      await server?.close();
      cluster?.close();
    });

    contract({ server: () => server, project: id, processes: async (mark) => String(livingOf(mark)) });

    test('the sub-protocols that are offered', () => {
      assert.equal(cluster.offers[0], 'v5.channel.k8s.io, v4.channel.k8s.io');
      assert.equal(cluster.offers.at(-1), knowsV5 ? 'v5.channel.k8s.io, v4.channel.k8s.io' : 'v4.channel.k8s.io');
    });
  });

describe('faults of a cluster', { timeout: 600_000, skip }, () => {
  let cluster;
  let server;
  before(async () => {
    cluster = await FakeCluster.start();
    server = await startOn(cluster);
    assert.equal((await server.api('POST', '/projects', { id })).status, 201);
    await runs(server);
  });
  after(async () => {
    await server?.close();
    cluster?.close();
  });
  beforeEach(() => cluster.cutAll()); // no connection of before is left, nor one that was kept ready

  const big = 'i=0; while [ $i -lt 20000 ]; do echo "line $i of twenty thousand"; i=$((i+1)); done';
  const whole = Array.from({ length: 20000 }, (_, i) => `line ${i} of twenty thousand\n`).join('');
  const comesWhole = async (faults, command = big, expected = whole) => {
    cluster.faults.exec = faults;
    const one = await server.submit(command, { project: id });
    const seen = await server.follow(one, { project: id });
    assert.equal(sha256(seen.checkReceipts().stdout), sha256(Buffer.from(expected)));
    assert.equal(seen.complete.exit_code, 0);
    assert.deepEqual(cluster.faults.exec, [], 'each fault was met');
  };

  test('a tail that is dropped with Success is fetched again', () => comesWhole([{ dropAfter: 100_000 }]));
  test('so is one that is dropped at the very end', () => comesWhole([{ dropAfter: whole.length + 30 }]));
  test('connections that are cut again and again', () => comesWhole([10, 50, 1000, 70_000, 3, 200_000].map((cutAfter) => ({ cutAfter }))));
  test('a connection that is cut before its first record', () => comesWhole([{ cutAfter: 0 }, { cutAfter: 1 }]));
  test('frames of one byte', () => comesWhole([{ drip: true }], 'seq 1 2000', Array.from({ length: 2000 }, (_, i) => `${i + 1}\n`).join('')));
  test('a connection that stands still in the middle is given up', () => comesWhole([{ freezeAfter: 100_000 }]));
  test('a connection that says nothing at all is given up', () => comesWhole([{ freezeAfter: 0 }]));
  test('429, 500 and a broken answer to an exec', () => comesWhole([
    { refuse: '429 Too Many Requests', body: '{"kind":"Status","code":429,"reason":"TooManyRequests"}' },
    { refuse: '500 Internal Server Error', body: 'container not found' }, { refuse: '200 OK', body: 'what?' },
  ]));

  test('what the API server says of a process that could not be started is logged', async () => {
    const message = 'error executing command in container: exec: "sh": executable file not found in $PATH';
    cluster.faults.exec = [{ verdict: { metadata: {}, status: 'Failure', reason: 'InternalError', code: 500, message } }];
    const one = await server.submit('echo all the same', { project: id });
    assert.equal((await server.follow(one, { project: id })).checkReceipts().stdout.toString(), 'all the same\n');
    await waitFor('the log says why', () => server.logs().some((line) => JSON.stringify(line).includes('executable file not found')));
  });

  test('a watch whose place is too old begins anew', async () => {
    const lists = () => cluster.seen.filter((line) => line.startsWith('GET') && line.endsWith('/pods')).length;
    await waitFor('there is a watch', () => cluster.watches.size === 2);
    const before = lists();
    cluster.expireWatches();
    await waitFor('it lists anew, and watches', () => lists() >= before + 2 && cluster.watches.size === 2);
    assert.ok(lists() < before + 10, 'not in a hurry');
    const pod = cluster.pods.get(`project-${id}-0`);
    pod.first.kill('SIGKILL');
    await waitFor('the restart is seen', async () => (await server.api('GET', `/projects/${id}`)).data.restarts > 0);
  });

  test('a container that is restarted leaves its commands lost; queued ones go on', async () => {
    await runs(server);
    const one = await server.submit('echo before; sleep 1000', { project: id });
    await server.follow(one, { project: id, until: (frame) => frame.event === 'output' });
    cluster.pods.get(`project-${id}-0`).first.kill('SIGKILL');
    const view = await server.finished(one, 60_000);
    assert.deepEqual([view.status, view.reason], ['lost', 'the container was restarted']);
    assert.equal(livingOf(one), 0);
    const next = await server.submit('echo after', { project: id });
    assert.equal((await server.follow(next, { project: id })).checkReceipts().stdout.toString(), 'after\n');
  });

  test('a project that falls ill is told to its streams, becomes an event, and its commands say what they wait for', async () => {
    await runs(server);
    const pod = cluster.pods.get(`project-${id}-0`);
    const events = async () => (await server.psql(`SELECT event, data->>'reason' FROM event WHERE project = '${id}' AND event ~ 'unhealthy|recovered' ORDER BY at`)).split('\n').filter(Boolean);
    const before = (await events()).length;
    pod.setTrouble('ImagePullBackOff', 'no such image');
    await waitFor('it is unhealthy', async () => (await server.api('GET', `/projects/${id}`)).data.status === 'unhealthy');
    const one = await server.submit('echo after', { project: id });
    assert.equal((await server.view(one)).waiting_for, `pod ${pod.name}: ImagePullBackOff: no such image`);
    pod.setTrouble();
    assert.equal((await server.follow(one, { project: id })).checkReceipts().stdout.toString(), 'after\n');
    await waitFor('both are events', async () => (await events()).length === before + 2);
    assert.deepEqual((await events()).slice(before), ['project.unhealthy|ImagePullBackOff: no such image', 'project.recovered|']);
  });

  test('429 to pod control is a 503 that may be repeated', async () => {
    cluster.faults.status.push(['POST', /statefulsets/, 429, 'TooManyRequests']);
    const refused = await server.api('POST', '/projects', { id: 'busy' });
    assert.deepEqual([refused.status, refused.error.code], [503, 'SERVICE_UNAVAILABLE']);
    assert.ok(Number(refused.headers.get?.('retry-after') ?? refused.headers['retry-after']) >= 1);
    assert.equal((await server.api('POST', '/projects', { id: 'busy' })).status, 201);
    assert.equal((await server.api('DELETE', '/projects/busy')).status, 200);
  });

  test('an API server that fails is left alone; pod control says so, commands are taken and wait', async () => {
    cluster.faults.status = Array.from({ length: 1000 }, () => ['POST', /statefulsets/, 500, 'InternalError']);
    const state = async () => /^rdev_circuit_state\{name="kubernetes"\} (\d)$/m.exec((await server.api('GET', '/metrics')).text)?.[1];
    const asked = () => cluster.seen.filter((line) => line.startsWith('POST') && line.includes('statefulsets')).length;
    // It rests for twice as long with each probe that fails: sooner or later all three questions fall into one rest.
    await waitFor('its circuit opens, and nobody asks the API server', async () => {
      const before = asked();
      assert.equal((await server.api('POST', '/projects', { id: 'failing' })).status, 503);
      const { checks } = (await server.api('GET', '/ready')).json;
      return (await state()) === '2' && checks.kubernetes.status === 'open' && asked() === before;
    });
    cluster.faults.status = [];
    const one = await server.submit('echo waited', { project: id });
    assert.equal((await server.follow(one, { project: id })).checkReceipts().stdout.toString(), 'waited\n');
    await waitFor('it is well again', async () => (await state()) === '0');
  });

  test('a pod that does not answer is left alone, and its queue is kept', async () => {
    cluster.faults.exec = Array.from({ length: 40 }, () => ({ refuse: '500 Internal Server Error', body: 'no' }));
    const all = await Promise.all(Array.from({ length: 10 }, (_, i) => server.submit(`echo ${i}`, { project: id })));
    const name = `pod:project-${id}-0`;
    await waitFor('its circuit opens', async () => new RegExp(`^rdev_circuit_state\\{name="${name}"\\} [12]$`, 'm').test((await server.api('GET', '/metrics')).text));
    cluster.faults.exec = [];
    const seen = await Promise.all(all.map((one) => server.follow(one, { project: id })));
    seen.forEach((one, i) => assert.equal(one.checkReceipts().stdout.toString(), `${i}\n`));
  });

  test('a cut of everything, again and again, loses and repeats nothing', async () => {
    const one = await server.submit(counting(60), { project: id });
    let ended = false;
    let outputs = 0;
    const until = (frame) => void (frame.event === 'output' && ++outputs);
    const following = server.follow(one, { project: id, until }).finally(() => (ended = true));
    let cuts = 0;
    for (; !ended; ++cuts) {
      const before = outputs;
      await waitFor('between two cuts something gets through', () => ended || outputs > before);
      cluster.cutAll();
    }
    counted(await following, 60);
    assert.ok(cuts > 5, `${cuts} cuts`);
  });
});
