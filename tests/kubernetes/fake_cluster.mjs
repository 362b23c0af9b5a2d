// A scripted API server, for what a real one does rarely. A pod is a process of this machine in PID and mount namespaces of its
// own, with busybox as its shell, and an exec is a process in them: the shim is the real one. Needs root (unshare, nsenter).
//
// `faults` says what goes wrong; each is taken up when the next request or connection comes:
//   status: [[method, pattern, code, body]…]   answered instead of the real answer, once each
//   exec: [{…}]                                for the next execs, one each; see `speak`
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';

import { WebSocketServer } from 'ws';

import { waitFor } from '../e2e/support.mjs';

export const namespace = 'rdev-projects';
const token = 'a-token-of-the-fake';

// False where its pods can be made; else why not.
export function whyNoPods() {
  const tried = spawnSync('unshare', ['--pid', '--fork', '--mount', '--mount-proc', 'true']);
  return tried.status === 0 ? false : `SKIPPED: pods of the scripted cluster need root and namespaces: ${tried.error ?? tried.stderr}`;
}

class Pod {
  constructor(cluster, set) {
    this.cluster = cluster;
    this.name = `${set.metadata.name}-0`;
    this.uid = `uid-${++cluster.serial}`;
    this.labels = set.spec.template.metadata.labels;
    this.annotations = set.spec.template.metadata.annotations;
    this.volume = path.join(cluster.folder, this.uid); // an emptyDir: it outlives the container
    fs.mkdirSync(this.volume);
    fs.chmodSync(this.volume, 0o777);
    this.workspace = path.join(cluster.folder, `${this.uid}-workspace`);
    fs.mkdirSync(this.workspace);
    this.restarts = -1;
    this.boot();
  }

  // A container: everything in it ends with its first process.
  boot() {
    ++this.restarts;
    this.container = `containerd://c${++this.cluster.serial}`;
    const prepare = `mount --bind '${this.volume}' '${this.cluster.runDir}' && mount --bind /bin/busybox /bin/sh && echo up && while :; do sleep 1000 & wait; done`;
    this.first = spawn('unshare', ['--pid', '--fork', '--mount', '--mount-proc', '--kill-child', '/bin/bash', '-c', prepare], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.up = new Promise((resolve) => this.first.stdout.once('data', resolve));
    this.first.once('exit', () => {
      if (this.gone) return;
      this.boot();
    });
    this.up.then(() => {
      this.cluster.changed('MODIFIED', this.object());
    });
  }

  // The first process as the machine numbers it: the child of unshare.
  get pid() {
    return Number(fs.readFileSync(`/proc/${this.first.pid}/task/${this.first.pid}/children`, 'utf8').trim());
  }

  // Its image is gone, say; or it is well again.
  setTrouble(reason, message = '') {
    this.trouble = reason && { waiting: { reason, message } };
    this.cluster.changed('MODIFIED', this.object());
  }

  object() {
    return {
      apiVersion: 'v1', kind: 'Pod',
      metadata: { name: this.name, uid: this.uid, namespace, labels: this.labels, annotations: this.annotations, creationTimestamp: '2026-01-01T00:00:00Z', resourceVersion: String(this.cluster.version) },
      spec: { containers: [{ name: 'project' }] },
      status: { phase: 'Running', containerStatuses: [{ name: 'project', ready: !this.trouble, restartCount: this.restarts, containerID: this.container, state: this.trouble || { running: {} } }] },
    };
  }

  delete() {
    this.gone = true;
    this.first.kill('SIGKILL');
    this.cluster.pods.delete(this.name);
    this.cluster.changed('DELETED', this.object());
  }
}

export class FakeCluster {
  static async start(options = {}) {
    const cluster = new FakeCluster(options);
    await new Promise((resolve) => cluster.server.listen(0, '127.0.0.1', resolve));
    const { port } = cluster.server.address();
    cluster.kubeconfig = path.join(cluster.folder, 'kubeconfig');
    fs.writeFileSync(cluster.kubeconfig, `apiVersion: v1
kind: Config
current-context: fake
contexts: [{name: fake, context: {cluster: fake, user: fake, namespace: ${namespace}}}]
clusters: [{name: fake, cluster: {server: "https://127.0.0.1:${port}", certificate-authority-data: ${fs.readFileSync(path.join(cluster.folder, 'crt')).toString('base64')}}}]
users: [{name: fake, user: {token: ${token}}}]
`, { mode: 0o600 });
    return cluster;
  }

  constructor({ knowsV5 = false } = {}) {
    this.knowsV5 = knowsV5;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-fake-'));
    fs.chmodSync(this.folder, 0o711);
    this.runDir = path.join(this.folder, 'run');
    fs.mkdirSync(this.runDir, { mode: 0o777 });
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=fake',
      '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', path.join(this.folder, 'key'), '-out', path.join(this.folder, 'crt')], { stdio: 'ignore' });
    this.version = 1;
    this.serial = 0;
    this.sets = new Map();
    this.pods = new Map();
    this.watches = new Set();
    this.sockets = new Set();
    this.faults = { status: [], exec: [] };
    this.seen = []; // METHOD PATH of each request
    this.offers = []; // of sub-protocols
    this.server = https.createServer({ key: fs.readFileSync(path.join(this.folder, 'key')), cert: fs.readFileSync(path.join(this.folder, 'crt')) });
    this.server.on('request', (request, answer) => this.request(request, answer));
    this.server.on('upgrade', (request, socket) => this.exec(request, socket));
    this.server.on('secureConnection', (socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
    });
    this.websockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => (this.knowsV5 && offered.has('v5.channel.k8s.io') ? 'v5.channel.k8s.io' : 'v4.channel.k8s.io') });
  }

  // Every connection, at once.
  cutAll() {
    for (const socket of this.sockets) socket.destroy();
  }

  close() {
    for (const pod of [...this.pods.values()]) pod.delete();
    this.cutAll();
    this.server.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }

  // ---- objects

  changed(type, object) {
    object.metadata.resourceVersion = String(++this.version);
    for (const watch of this.watches) if (watch.kind === object.kind) watch.answer.write(`${JSON.stringify({ type, object })}\n`);
  }

  // Ends all watches: the place that they are at is too old, as after a compaction.
  expireWatches() {
    for (const { answer } of this.watches) answer.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } })}\n`);
    this.watches.clear();
  }

  scale(set) {
    const name = `${set.metadata.name}-0`;
    const pod = this.pods.get(name);
    if (set.spec.replicas === 0) pod?.delete();
    else if (!pod) this.pods.set(name, new Pod(this, set));
  }

  async request(request, answer) {
    const url = new URL(request.url, 'https://fake');
    let body = '';
    for await (const piece of request) body += piece;
    this.seen.push(`${request.method} ${url.pathname}`);
    const say = (code, value) => {
      answer.writeHead(code, { 'Content-Type': 'application/json' });
      answer.end(JSON.stringify(value));
    };
    const status = (code, reason, message = reason) => say(code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message });
    if (request.headers.authorization !== `Bearer ${token}`) return status(401, 'Unauthorized');
    const wrong = this.faults.status.findIndex(([method, pattern]) => method === request.method && pattern.test(request.url));
    if (wrong >= 0) {
      const [[, , code, reason]] = this.faults.status.splice(wrong, 1);
      return status(code, reason);
    }
    const [, kind, name] = /\/(pods|statefulsets)(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const all = kind === 'pods' ? this.pods : this.sets;
    const objects = () => [...all.values()].map((one) => (kind === 'pods' ? one.object() : one));
    if (request.method === 'GET' && !name && url.searchParams.has('watch')) {
      answer.writeHead(200, { 'Content-Type': 'application/json' });
      answer.flushHeaders();
      const watch = { kind: kind === 'pods' ? 'Pod' : 'StatefulSet', answer };
      this.watches.add(watch);
      answer.on('close', () => this.watches.delete(watch));
      return undefined;
    }
    if (request.method === 'GET' && !name) return say(200, { kind: 'List', metadata: { resourceVersion: String(this.version) }, items: objects() });
    if (request.method === 'POST') {
      const set = JSON.parse(body);
      if (all.has(set.metadata.name)) return status(409, 'AlreadyExists');
      set.kind = 'StatefulSet';
      set.metadata.creationTimestamp = '2026-01-01T00:00:00Z';
      all.set(set.metadata.name, set);
      this.changed('ADDED', set);
      this.scale(set);
      return say(201, set);
    }
    const one = all.get(name);
    if (!one) return status(404, 'NotFound');
    if (request.method === 'GET') return say(200, kind === 'pods' ? one.object() : one);
    if (request.method === 'PATCH') {
      one.spec.replicas = JSON.parse(body).spec.replicas;
      this.changed('MODIFIED', one);
      this.scale(one);
      return say(200, one);
    }
    assert.equal(request.method, 'DELETE');
    if (kind === 'pods') {
      one.delete();
      this.scale(this.sets.get(name.replace(/-0$/, '')));
    } else {
      all.delete(name);
      this.changed('DELETED', one);
      this.pods.get(`${name}-0`)?.delete();
    }
    return say(200, { kind: 'Status', status: 'Success' });
  }

  // ---- execs

  async exec(request, socket) {
    const url = new URL(request.url, 'https://fake');
    const offered = request.headers['sec-websocket-protocol'] ?? '';
    this.offers.push(offered);
    this.seen.push(`EXEC ${url.pathname}`);
    const refuse = (line, body = '') => socket.end(`HTTP/1.1 ${line}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    if (request.headers.authorization !== `Bearer ${token}`) return refuse('401 Unauthorized');
    if (offered.startsWith('v5') && !this.knowsV5) return refuse('403 Forbidden'); // as Kubernetes 1.20 does
    const pod = this.pods.get(/\/pods\/([^/]+)\/exec$/.exec(url.pathname)?.[1]);
    if (!pod) return refuse('404 Not Found', '{"kind":"Status","code":404,"reason":"NotFound"}');
    const fault = this.faults.exec.shift() ?? {};
    if (fault.refuse) return refuse(fault.refuse, fault.body);
    await pod.up;
    return this.websockets.handleUpgrade(request, socket, Buffer.alloc(0), (connection) => this.speak(connection, pod, url.searchParams.getAll('command'), fault));
  }

  // One exec. Faults: `cutAfter` bytes of stdout the connection is destroyed; `dropAfter` bytes the rest of stdout is thrown away and
  // the end is a Success all the same; `freezeAfter` bytes nothing is sent any more and nothing read, without an end; `drip`:
  // frames of one byte; `verdict`: nothing but this Status, and the end.
  speak(connection, pod, argv, fault) {
    if (fault.verdict) { // the process could not even be started
      connection.send(Buffer.concat([Buffer.from([3]), Buffer.from(JSON.stringify(fault.verdict))]));
      connection.close(1000);
      return;
    }
    const child = spawn('nsenter', ['-t', String(pod.pid), '-p', '-m', `--wd=${pod.workspace}`, '--', ...argv], { stdio: 'pipe' });
    let sent = 0;
    let frozen = false;
    const freeze = () => {
      frozen = true;
      connection._socket.pause(); // nor is a ping answered
    };
    const frame = (channel, bytes) => {
      if (connection.readyState === 1 && !frozen) connection.send(Buffer.concat([Buffer.from([channel]), bytes]), { binary: true });
    };
    const pass = (channel, bytes) => {
      if (fault.drip) for (const byte of bytes) frame(channel, Buffer.from([byte]));
      else frame(channel, bytes);
    };
    frame(1, Buffer.alloc(0));
    child.stdout.on('data', (bytes) => {
      const limit = fault.cutAfter ?? fault.dropAfter ?? fault.freezeAfter;
      const before = sent;
      sent += bytes.length;
      if (limit === undefined || sent <= limit) return pass(1, bytes);
      if (before < limit) pass(1, bytes.subarray(0, limit - before));
      if (fault.cutAfter !== undefined) connection.terminate();
      if (fault.freezeAfter !== undefined) freeze();
      if (fault.dropAfter !== undefined && !fault.told) {
        fault.told = true;
        frame(3, Buffer.from('{"metadata":{},"status":"Success"}'));
        connection.close(1000);
      }
      return undefined;
    });
    child.stderr.on('data', (bytes) => pass(2, bytes));
    child.stdin.on('error', () => {});
    child.on('close', (code) => {
      const end = code === 0 ? { metadata: {}, status: 'Success' }
        : { metadata: {}, status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: String(code) }] } };
      frame(3, Buffer.from(JSON.stringify(end)));
      if (!frozen) connection.close(1000);
    });
    connection.on('message', (data) => {
      if (data[0] === 0) child.stdin.write(data.subarray(1));
    });
    // The process goes on, and nobody reads what it writes.
    connection.on('close', () => {
      child.stdin.end();
      child.stdout.pause();
      child.stderr.pause();
    });
    connection.on('error', () => {});
  }

  async waitForExec(before) {
    await waitFor('an exec comes', () => this.seen.filter((line) => line.startsWith('EXEC')).length > before);
  }
}
