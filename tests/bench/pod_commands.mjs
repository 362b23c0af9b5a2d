// Commands in a pod of the cluster that RDEV_TEST_KUBECONFIG names (./dev testbed up), beside their peers, interleaved: a no-op
// through rdev from submit to complete, `kubectl exec POD -- true`, and the bare exec over a WebSocket. Bars, of medians: at most
// 0.6 of kubectl; at most 1.3 of the bare exec, or 15 ms more. Then commands per second in one pod and over five, and kubectl's.
//   --rounds N (40), --burst N (60)
import fs from 'node:fs';
import http from 'node:http';

import WebSocket from 'ws';

import { FrameReader } from '../e2e/support.mjs';
import { kubeconfig, kubectl, makeProject, namespace, startServer } from '../kubernetes/cluster.mjs';
import { atMost, median, must, printSeries } from './support/bench.mjs';
import { options } from './support/front.mjs';

const { rounds, burst } = options({ rounds: 40, burst: 60 });
must(kubeconfig, 'RDEV_TEST_KUBECONFIG must name a cluster');
const id = `b${process.pid}`;
const pod = `project-${id}-0`;

const text = fs.readFileSync(kubeconfig, 'utf8');
const field = (name) => Buffer.from(new RegExp(`${name}: ([A-Za-z0-9+/=]+)`).exec(text)[1], 'base64');
const tls = { ca: field('certificate-authority-data'), cert: field('client-certificate-data'), key: field('client-key-data') };
const cluster = /server: "https:\/\/([^"]+)"/.exec(text)[1];

const bare = () => new Promise((resolve, reject) => {
  const begin = performance.now();
  const url = `wss://${cluster}/api/v1/namespaces/${namespace}/pods/${pod}/exec?command=true&stdout=1&stderr=1&container=project`;
  const socket = new WebSocket(url, ['v4.channel.k8s.io'], { ...tls, perMessageDeflate: false });
  socket.on('message', (data) => {
    if (data[0] !== 3) return;
    must(JSON.parse(data.subarray(1).toString()).status === 'Success', 'the bare exec succeeds');
    resolve(performance.now() - begin);
    socket.terminate();
  });
  socket.on('error', reject);
});

async function byKubectl(where = pod) {
  const begin = performance.now();
  await kubectl('exec', where, '--', 'true');
  return performance.now() - begin;
}

function throughRdev(server) {
  const [host, port] = server.address.split(':');
  const agent = new http.Agent({ keepAlive: true, noDelay: true });
  const ask = (method, target, headers, body) => new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path: target, agent, headers: { 'X-API-Key': server.key, ...headers } }, resolve);
    request.on('error', reject);
    request.end(body);
  });
  return async (where = id) => {
    const begin = performance.now();
    const answer = await ask('POST', `/projects/${where}/shell`, { 'Content-Type': 'application/json' }, '{"command":["true"]}');
    let body = '';
    for await (const piece of answer) body += piece;
    must(answer.statusCode === 202, body);
    const stream = await ask('GET', JSON.parse(body).data.stream_url, { Accept: 'text/event-stream' });
    const reader = new FrameReader();
    let took;
    for await (const piece of stream)
      for (const frame of reader.feed(piece))
        if (frame.event === 'complete') {
          must(frame.data.exit_code === 0, 'the command succeeds');
          took ??= performance.now() - begin;
        }
    return took;
  };
}

const perSecond = async (n, one) => {
  const begin = performance.now();
  let left = n;
  await Promise.all(Array.from({ length: 16 }, async () => { while (left > 0) await one(left--); }));
  return n / ((performance.now() - begin) / 1000);
};

const server = await startServer();
try {
  await makeProject(server, id);
  const ways = { rdev: throughRdev(server), kubectl: byKubectl, 'bare exec': bare };
  const times = { rdev: [], kubectl: [], 'bare exec': [] };
  for (let i = 0; i < 5; ++i) for (const way of Object.values(ways)) await way();
  for (let i = 0; i < rounds; ++i) for (const [name, way] of Object.entries(ways)) times[name].push(await way());
  for (const [name, values] of Object.entries(times)) printSeries(name, values, 'ms', 1);
  const [ours, theirs, least] = Object.values(times).map(median);
  const others = Array.from({ length: 4 }, (_, i) => `${id}-${i}`);
  for (const other of others) await makeProject(server, other);
  const all = [id, ...others];
  const series = { 'rdev, one pod': [], 'kubectl, one pod': [], 'rdev, five pods': [], 'kubectl, five pods': [] };
  for (let i = 0; i < 3; ++i) {
    series['rdev, one pod'].push(await perSecond(burst, () => ways.rdev()));
    series['kubectl, one pod'].push(await perSecond(burst, () => byKubectl()));
    series['rdev, five pods'].push(await perSecond(burst, (n) => ways.rdev(all[n % 5])));
    series['kubectl, five pods'].push(await perSecond(burst, (n) => byKubectl(`project-${all[n % 5]}-0`)));
  }
  console.log('by 16 clients:');
  for (const [name, values] of Object.entries(series)) printSeries(name, values, 'commands/s', 1);
  atMost('rdev, of kubectl (aim 0.4)', ours / theirs, 0.6, 'x', 2);
  atMost('rdev, above what is allowed over the bare exec', ours - Math.max(1.3 * least, least + 15), 0, 'ms', 1);
} finally {
  for (const one of [id, ...Array.from({ length: 4 }, (_, i) => `${id}-${i}`)]) await server.api('DELETE', `/projects/${one}?force=true`);
  await server.close();
}
