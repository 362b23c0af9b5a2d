// From the submission of `echo x` to the first byte of its output at the client: POST, then at once GET …/events on another
// keep-alive connection. 200 one after the other, then 200 by 8 clients at the same time. Reported; no bar.
import http from 'node:http';

import { FrameReader } from '../e2e/support.mjs';
import { must, percentile, withServer } from './support/bench.mjs';

const rounds = 200;
const clients = 8;
const warmUp = 20;

await withServer({}, async (server) => {
  const [host, port] = server.address.split(':');
  const agent = new http.Agent({ keepAlive: true, noDelay: true });
  const ask = (method, target, headers, body) =>
    new Promise((resolve, reject) => {
      const request = http.request({ host, port, method, path: target, agent, headers: { 'X-API-Key': server.key, ...headers } }, resolve);
      request.on('error', reject);
      request.end(body);
    });

  // Milliseconds until: the answer to the POST, the status `running`, the first output, the end of the stream.
  async function once() {
    const begin = performance.now();
    const since = () => performance.now() - begin;
    const times = {};
    const answer = await ask('POST', '/projects/demo/shell', { 'Content-Type': 'application/json' }, '{"command":"echo x"}');
    let text = '';
    for await (const piece of answer) text += piece;
    must(answer.statusCode === 202, `${answer.statusCode} ${text}`);
    times.accepted = since();
    const stream = await ask('GET', JSON.parse(text).data.stream_url, { Accept: 'text/event-stream' });
    const reader = new FrameReader();
    for await (const piece of stream)
      for (const frame of reader.feed(piece)) {
        if (frame.event === 'status' && frame.data.status === 'running') times.running ??= since();
        if (frame.event === 'output') {
          must(frame.data.line === 'x', `an output of ${JSON.stringify(frame.data)}`);
          times.output ??= since();
        }
        if (frame.event === 'complete') times.end = since();
      }
    must(times.output !== undefined && times.end !== undefined, 'a stream ended early');
    return times;
  }

  async function many(n, at_once) {
    const all = [];
    let left = n;
    const client = async () => {
      while (left-- > 0) all.push(await once());
    };
    await Promise.all(Array.from({ length: at_once }, client));
    return all;
  }

  await many(warmUp, 1);
  for (const at_once of [1, clients]) {
    const begin = performance.now();
    const all = await many(rounds, at_once);
    const took = (performance.now() - begin) / 1000;
    console.log(`${rounds} commands, ${at_once} at a time, ${(rounds / took).toFixed(0)} commands/s`);
    for (const [name, what] of [['accepted', 'answer to the POST'], ['running', 'status running'], ['output', 'FIRST OUTPUT BYTE'], ['end', 'end of the stream']]) {
      const values = all.map((times) => times[name]);
      const [p50, p99, most] = [0.5, 0.99, 1].map((share) => percentile(values, share).toFixed(1));
      console.log(`  ${what.padEnd(20)} p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms`);
    }
  }
  agent.destroy();
});
