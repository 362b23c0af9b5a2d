// Commands in pods of a real cluster, and what becomes of them when a part of it fails.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { waitFor } from '../e2e/support.mjs';
import { apiServerLog, apply, auditLog, kubectl, leastPrivileged, makeProject, project, reaches, startServer, testbed } from './cluster.mjs';
import { contract, counted, counting } from './contract.mjs';

const id = `t${process.pid}`;
const pod = `project-${id}-0`;

describe('projects in pods', { timeout: 600_000 }, () => {
  let server;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-kubernetes-'));
  const remove = (name) => server.api('DELETE', `/projects/${name}?force=true`);
  before(async () => {
    // All of this under the very Role that is deployed.
    server = await startServer({ KUBECONFIG: await leastPrivileged(folder) });
    await makeProject(server, id, { team: 'core' });
  });
  after(async () => {
    await remove(id);
    await server.close();
    fs.rmSync(folder, { recursive: true });
  });
  const shell = (text, options) => server.rdev(['run', id, '--', 'sh', '-c', text], options);

  test('a project is a pod that may do little', async () => {
    const seen = await project(server, id);
    assert.deepEqual([seen.status, seen.phase, seen.ready, seen.labels], ['running', 'Running', true, { team: 'core' }]);
    const { spec } = JSON.parse(await kubectl('get', 'pod', pod, '-o', 'json'));
    assert.equal(spec.automountServiceAccountToken, false);
    assert.equal(spec.securityContext.runAsNonRoot, true);
    assert.equal(spec.securityContext.seccompProfile.type, 'RuntimeDefault');
    const [container] = spec.containers;
    assert.deepEqual(container.securityContext, { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } });
    assert.ok(container.resources.limits.memory && container.resources.limits.cpu);
    const again = await server.api('POST', '/projects', { id });
    assert.equal(again.status, 409);
  });

  test('a command runs in the workspace, as its user', async () => {
    assert.equal((await shell('id -u; pwd')).stdout.toString(), '1000\n/workspace\n');
  });

  test('git and the agent run with prompt and environment', async () => {
    const done = await server.rdev(['run', id, '--', 'git', '--version']);
    assert.match(done.stdout.toString(), /^git version /);
    await shell('mkdir -p bin; printf "#!/bin/sh\\necho \\"agent \\$TOKEN:\\"; cat\\n" >bin/claude; chmod +x bin/claude');
    const asked = await server.api('POST', `/projects/${id}/claude`, { prompt: "it's a 'prompt'\n", env: { TOKEN: 'secret', PATH: '/workspace/bin:/usr/bin:/bin' } });
    assert.equal(asked.status, 202, asked.text);
    const seen = await server.follow(asked.data.id, { project: id });
    assert.equal(seen.checkReceipts().stdout.toString(), "agent secret:\nit's a 'prompt'\n");
  });

  contract({
    server: () => server,
    project: id,
    processes: async (mark) => (await kubectl('exec', pod, '--', 'sh', '-c', `grep -ls ${mark} /proc/[0-9]*/environ | wc -l`)).trim(),
  });

  test('a restart of the API server, which cuts all connections, loses and repeats nothing', async () => {
    const one = await server.submit(counting(80), { project: id });
    await server.follow(one, { project: id, until: (frame) => frame.event === 'output' });
    await testbed('restart', 'kube-apiserver');
    counted(await server.follow(one, { project: id }), 80);
  });

  test('so does a restart of the kubelet', async () => {
    const one = await server.submit(counting(60), { project: id });
    await server.follow(one, { project: id, until: (frame) => frame.event === 'output' });
    await testbed('restart', 'kubelet');
    counted(await server.follow(one, { project: id }), 60);
  });

  test('what is submitted while the API server is away waits for it', async () => {
    await testbed('stop', 'kube-apiserver');
    const one = await server.submit('echo later', { project: id });
    await testbed('start', 'kube-apiserver');
    const seen = await server.follow(one, { project: id });
    assert.equal(seen.checkReceipts().stdout.toString(), 'later\n');
  });

  test('a container that is restarted leaves its commands lost, with the output so far', async () => {
    await reaches(server, id, 'running');
    const one = await server.submit('echo before; sleep 1000', { project: id });
    await server.follow(one, { project: id, until: (frame) => frame.event === 'output' });
    const before = (await project(server, id)).restarts;
    await kubectl('exec', pod, '--', 'sh', '-c', 'kill -TERM 1').catch(() => {}); // it ends with the container
    const view = await server.finished(one, 60_000);
    assert.equal(view.status, 'lost');
    assert.match(view.reason, /container|pod/);
    const { bytes } = await server.api('GET', `/commands/${one}/output?stream=stdout`, undefined, { Accept: 'application/octet-stream' });
    assert.equal(bytes.toString(), 'before\n');
    await waitFor('the container is back', async () => {
      const now = await project(server, id);
      return now.restarts > before && now.status === 'running';
    }, 60_000);
    assert.equal((await shell('echo again')).stdout.toString(), 'again\n');
  });

  test('a pod that is deleted leaves its commands lost', async () => {
    const one = await server.submit('echo before; sleep 1000', { project: id });
    await server.follow(one, { project: id, until: (frame) => frame.event === 'output' });
    await kubectl('delete', 'pod', pod, '--grace-period=1');
    const view = await server.finished(one, 60_000);
    assert.equal(view.status, 'lost');
    assert.match(view.reason, /pod|container/);
    await reaches(server, id, 'running');
    assert.equal((await shell('echo again')).stdout.toString(), 'again\n');
  });

  test('a project can be stopped and started', async () => {
    assert.equal((await server.api('POST', `/projects/${id}/stop`)).status, 200);
    await reaches(server, id, 'stopped');
    await waitFor('it takes no commands', async () => (await server.api('POST', `/projects/${id}/shell`, { command: 'true' })).status === 409);
    assert.equal((await server.api('POST', `/projects/${id}/start`)).status, 200);
    await reaches(server, id, 'running');
    assert.equal((await shell('echo up')).stdout.toString(), 'up\n');
  });

  test('pods of others are no projects', async () => {
    const name = `foreign-${process.pid}`;
    const labels = { 'rdev.orchard9.ai/project': 'true', 'rdev.orchard9.ai/project-id': name };
    await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec: { terminationGracePeriodSeconds: 1, automountServiceAccountToken: false, containers: [{ name: 'x', image: 'localhost/busybox:1', command: ['sleep', '1000'] }] } });
    await kubectl('wait', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
    assert.equal((await server.api('POST', `/projects/${name}/shell`, { command: 'true' })).status, 404);
    await kubectl('delete', 'pod', name, '--grace-period=1', '--wait=false');
  });

  test('an image that is not there is told as such', async () => {
    const other = `none${process.pid}`;
    const one = await startServer({ RDEV_KUBERNETES_IMAGE: 'localhost/no-such-image:1' });
    try {
      assert.equal((await one.api('POST', '/projects', { id: other })).status, 201);
      const seen = await reaches(one, other, 'unhealthy');
      assert.match(seen.reason, /ErrImagePull|ImagePullBackOff/);
    } finally {
      await one.api('DELETE', `/projects/${other}?force=true`);
      await one.close();
    }
  });

  test('a workspace on a volume outlives its pod, and goes with its project', async () => {
    const other = `kept${process.pid}`;
    const volume = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-volume-'));
    fs.chmodSync(volume, 0o777); // fsGroup does nothing for a hostPath
    await apply({ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: 'by-hand' }, provisioner: 'kubernetes.io/no-provisioner', volumeBindingMode: 'Immediate' });
    await apply({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: other }, spec: { storageClassName: 'by-hand', capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], persistentVolumeReclaimPolicy: 'Retain', hostPath: { path: volume } } });
    const one = await startServer({ KUBECONFIG: await leastPrivileged(folder), RDEV_KUBERNETES_STORAGE_CLASS: 'by-hand', RDEV_KUBERNETES_STORAGE: '1Gi' });
    try {
      await makeProject(one, other);
      assert.equal((await one.rdev(['run', other, '--', 'sh', '-c', 'echo kept >file'])).code, 0);
      const before = (await kubectl('get', 'pod', `project-${other}-0`, '-o', 'jsonpath={.metadata.uid}')).trim();
      assert.equal((await one.api('POST', `/projects/${other}/restart`)).status, 200);
      await waitFor('there is another pod', async () => {
        const now = await kubectl('get', 'pod', `project-${other}-0`, '-o', 'jsonpath={.metadata.uid}').catch(() => before);
        return now.trim() !== before;
      }, 60_000);
      await reaches(one, other, 'running');
      assert.equal((await one.rdev(['run', other, '--', 'cat', 'file'])).stdout.toString(), 'kept\n');
      assert.equal((await one.api('DELETE', `/projects/${other}?force=true`)).status, 200);
      await waitFor('its claim is gone', async () => !(await kubectl('get', 'persistentvolumeclaims', '-o', 'name')).includes(other), 60_000);
    } finally {
      await one.api('DELETE', `/projects/${other}?force=true`);
      await one.close();
      await kubectl('delete', 'persistentvolume', other, '--wait=false');
      fs.rmSync(volume, { recursive: true });
    }
  });

  test('a node that is full leaves a project pending, with the reason, and its commands waiting', async () => {
    const other = `full${process.pid}`;
    const filler = `filler-${process.pid}`;
    const inMilli = (cpu) => (cpu === undefined ? 0 : cpu.endsWith('m') ? Number(cpu.slice(0, -1)) : Number(cpu) * 1000);
    const all = JSON.parse(await kubectl('get', 'pods', '-A', '-o', 'json')).items.filter(({ status }) => !['Succeeded', 'Failed'].includes(status.phase));
    const taken = all.flatMap(({ spec }) => spec.containers).reduce((sum, { resources }) => sum + inMilli(resources?.requests?.cpu), 0);
    const there = inMilli((await kubectl('get', 'nodes', '-o', 'jsonpath={.items[0].status.allocatable.cpu}')).trim());
    await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name: filler }, spec: { terminationGracePeriodSeconds: 0, automountServiceAccountToken: false, containers: [{ name: 'x', image: 'localhost/busybox:1', command: ['sleep', '1000'], resources: { requests: { cpu: `${there - taken - 10}m` } } }] } });
    try {
      await kubectl('wait', '--for=condition=Ready', `pod/${filler}`, '--timeout=60s');
      assert.equal((await server.api('POST', '/projects', { id: other })).status, 201);
      const seen = await waitFor('it cannot be scheduled', async () => {
        const now = await project(server, other);
        return now.reason && now;
      }, 60_000);
      assert.equal(seen.status, 'pending');
      assert.match(seen.reason, /^Unschedulable: .*Insufficient cpu/);
      const one = await server.submit('echo at last', { project: other });
      assert.match((await server.view(one)).waiting_for, /Insufficient cpu/);
      await kubectl('delete', 'pod', filler, '--grace-period=0', '--force');
      assert.equal((await server.follow(one, { project: other })).checkReceipts().stdout.toString(), 'at last\n');
    } finally {
      await remove(other);
      await kubectl('delete', 'pod', filler, '--grace-period=0', '--force', '--ignore-not-found');
    }
  });

  test('a restart of containerd, too, loses and repeats nothing', async () => {
    const one = await server.submit(counting(60), { project: id });
    await server.follow(one, { project: id, until: (frame) => frame.event === 'output' });
    await testbed('restart', 'containerd');
    counted(await server.follow(one, { project: id }), 60);
  });

  test('no text of a command, environment or prompt is in a log', async () => {
    const canary = `canary${process.pid}x${Date.now()}`;
    const one = await server.api('POST', `/projects/${id}/shell`, { command: `true ${canary}`, env: { CANARY: canary } });
    await server.finished(one.data.id);
    const asked = await server.api('POST', `/projects/${id}/claude`, { prompt: canary });
    await server.finished(asked.data.id);
    assert.ok(auditLog().includes(`/pods/${pod}/exec`), 'the audit log has the execs');
    for (const [where, text] of Object.entries({ audit: auditLog(), 'API server': apiServerLog(), rdev: server.rawLog() }))
      assert.ok(!text.includes(canary), `the log of ${where} has it`);
  });

  test('a project is made of image, repository, variables and Secrets of its own', async () => {
    const other = `made${process.pid}`;
    await kubectl('create', 'secret', 'generic', `project-${other}-token`, '--from-literal=TOKEN=hidden');
    try {
      for (const secret of ['rdev-api', `project-${id}-token`]) {
        const refused = await server.api('POST', '/projects', { id: other, env_from: [secret] });
        assert.deepEqual([refused.status, refused.error.details[0].field], [400, 'env_from[0]'], refused.text);
      }
      const made = await server.api('POST', '/projects', {
        id: other, image: 'localhost/tools:1', resources: { cpu: '500m', memory: '128Mi' }, repository: 'file:///srv/repository.git',
        env: { GREETING: 'it\'s $(ME) $ME' }, env_from: [`project-${other}-token`],
      });
      assert.equal(made.status, 201, made.text);
      await reaches(server, other, 'running');
      const done = await server.rdev(['run', other, '--', 'sh', '-c', 'cat README; echo "$GREETING $TOKEN"']);
      assert.equal(done.stdout.toString(), "of a repository\nit's $(ME) $ME hidden\n");
      const { spec } = JSON.parse(await kubectl('get', 'pod', `project-${other}-0`, '-o', 'json'));
      assert.deepEqual(spec.containers[0].resources.limits, { cpu: '500m', memory: '128Mi' });
    } finally {
      await remove(other);
      await kubectl('delete', 'secret', `project-${other}-token`);
    }
  });

  test('what rdev may not do is told by its verb', async () => {
    await kubectl('patch', 'role', 'rdev-api', '--type=json', '-p', '[{"op":"replace","path":"/rules/2/verbs","value":["get","list"]}]');
    try {
      const refused = await server.api('POST', '/projects', { id: `no${process.pid}` });
      assert.equal(refused.status, 503);
      await waitFor('the log names the verb', () => server.logs().some((line) => JSON.stringify(line).includes('cannot create resource')));
    } finally {
      await leastPrivileged(folder);
    }
  });

  test('a deleted project is gone', async () => {
    const other = `gone${process.pid}`;
    await makeProject(server, other);
    assert.equal((await remove(other)).status, 200);
    await waitFor('it is gone', async () => (await server.api('GET', `/projects/${other}`)).status === 404, 60_000);
  });
});
