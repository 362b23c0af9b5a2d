// The cluster that RDEV_TEST_KUBECONFIG names, as its administrator sees it.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { Server, cleanEnv, run, waitFor } from '../e2e/support.mjs';

export const kubeconfig = process.env.RDEV_TEST_KUBECONFIG;
export const namespace = 'rdev-projects';
const here = path.dirname(fileURLToPath(import.meta.url));
const testbedScript = path.join(here, 'testbed', 'cluster.sh');

export async function kubectl(...args) {
  const done = await run('kubectl', ['--kubeconfig', kubeconfig, '-n', namespace, ...args], { env: cleanEnv({ PATH: process.env.PATH }) });
  assert.equal(done.code, 0, `kubectl ${args.join(' ')}: ${done.stderr}`);
  return done.stdout.toString();
}

export async function apply(object) {
  const done = await run('kubectl', ['--kubeconfig', kubeconfig, '-n', namespace, 'apply', '-f', '-'], { env: cleanEnv({ PATH: process.env.PATH }), input: JSON.stringify(object) });
  assert.equal(done.code, 0, done.stderr.toString());
}

// `restart PART` and the like, of the testbed's own script.
export async function testbed(...args) {
  const done = await run('bash', [testbedScript, ...args], { env: cleanEnv({ PATH: process.env.PATH, HOME: process.env.HOME }) });
  assert.equal(done.code, 0, done.stderr.toString());
}

// A kubeconfig of the service account that deploy/kubernetes makes: rdev may do what it may do, and nothing else.
export async function leastPrivileged(folder) {
  await run('kubectl', ['--kubeconfig', kubeconfig, 'apply', '-k', path.join(here, '..', '..', 'deploy', 'kubernetes')], { env: cleanEnv({ PATH: process.env.PATH }) });
  const token = await waitFor('the token of the service account', async () => {
    const all = JSON.parse(await kubectl('-n', 'rdev', 'get', 'secrets', '-o', 'json')).items;
    const one = all.find(({ metadata }) => metadata.annotations?.['kubernetes.io/service-account.name'] === 'rdev-api');
    return one?.data?.token && Buffer.from(one.data.token, 'base64').toString();
  });
  const text = fs.readFileSync(kubeconfig, 'utf8');
  const file = path.join(folder, 'kubeconfig');
  fs.writeFileSync(file, text.replace(/user: \{client-certificate-data[^}]*\}/, `user: {token: ${token}}`), { mode: 0o600 });
  return file;
}

export const auditLog = () => fs.readFileSync(path.join(path.dirname(path.dirname(kubeconfig)), 'logs', 'audit.log'), 'utf8');
export const apiServerLog = () => fs.readFileSync(path.join(path.dirname(path.dirname(kubeconfig)), 'logs', 'kube-apiserver.log'), 'utf8');

export function startServer(env = {}) {
  return Server.start({
    env: {
      KUBECONFIG: kubeconfig,
      RDEV_RUNNER_KIND: 'kubernetes',
      RDEV_KUBERNETES_IMAGE: 'localhost/tools:1',
      RDEV_COMMANDS_KILL_GRACE: '1s',
      ...env,
    },
  });
}

export async function project(server, id) {
  return (await server.api('GET', `/projects/${id}`)).data;
}

export async function reaches(server, id, status) {
  return waitFor(`${id} is ${status}`, async () => {
    const now = await project(server, id);
    return now?.status === status && now;
  }, 60_000);
}

export async function makeProject(server, id, labels = {}) {
  const made = await server.api('POST', '/projects', { id, labels });
  assert.equal(made.status, 201, made.text);
  return reaches(server, id, 'running');
}
