// A standard client (npm's eventsource) behind a proxy that cuts its connections at random places: a thousand cuts, and
// still every event once and in order.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { EventSource } from 'eventsource';
import { Server, Transcript, seededRandom, testSeed } from './support.mjs';

const clients = 20;
const cutsPerClient = 50;
const lines = 6000;
const seed = testSeed();

let server;
before(async () => { server = await Server.start({ env: { RDEV_LIMITS_RPS: '0' } }); });
after(() => server.close());

// Passes connections on and cuts each after a random number of the server's bytes, in the middle of whatever that is,
// until `budget` connections have been cut.
class CuttingProxy {
  cuts = 0;
  connections = 0;
  #sockets = new Set();

  static async start(target, random, budget) {
    const proxy = new CuttingProxy();
    const [host, port] = target.split(':');
    proxy.listener = net.createServer((client) => proxy.#serve(client, net.connect({ host, port: Number(port) }), random, budget));
    await new Promise((resolve) => proxy.listener.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.listener.address().port;
    return proxy;
  }

  #serve(client, upstream, random, budget) {
    this.connections += 1;
    let left = this.cuts < budget ? 1 + random(8000) : Infinity;
    for (const socket of [client, upstream]) {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    }
    const drop = (socket) => () => socket.destroy();
    client.on('error', drop(upstream)).on('close', drop(upstream));
    upstream.on('error', drop(client));
    client.pipe(upstream);
    upstream.on('data', (piece) => {
      if (left === 0) return;
      if (piece.length < left) {
        left -= piece.length;
        if (!client.write(piece)) {
          upstream.pause();
          client.once('drain', () => upstream.resume());
        }
        return;
      }
      const last = piece.subarray(0, left);
      left = 0;
      this.cuts += 1;
      upstream.destroy();
      // Half of the cuts are silent ends, half are resets.
      if (random(2) === 0) client.write(last, () => client.resetAndDestroy());
      else client.end(last, () => client.destroy());
    });
    upstream.on('end', () => { if (left > 0) client.end(); });
  }

  close() {
    this.listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

// Reads a command's stream to the client's own end: after `complete` it reconnects once more, gets 204 and stays closed.
function readWithEventSource(port, id) {
  return new Promise((resolve, reject) => {
    const seen = new Transcript();
    const url = `http://127.0.0.1:${port}${server.eventsOf(id)}`;
    const source = new EventSource(url, {
      fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, 'X-API-Key': server.key } }),
    });
    for (const event of ['status', 'output', 'complete'])
      source.addEventListener(event, (message) => {
        try {
          seen.add({ id: message.lastEventId, event, data: JSON.parse(message.data) });
        } catch (error) {
          source.close();
          reject(error);
        }
      });
    source.addEventListener('error', (error) => {
      if (source.readyState !== EventSource.CLOSED) return; // it reconnects by itself
      if (error.code === 204) resolve(seen);
      else reject(new Error(`the client gave up: ${error.code} ${error.message}`));
    });
  });
}

test(`${clients * cutsPerClient} cuts: no loss, no repeat`, async () => {
  const script = (pause) => `i=0
    while [ $i -lt ${lines} ]; do
      j=0
      while [ $j -lt 20 ]; do echo "line $i of stdout"; [ $((i % 3)) -eq 0 ] && echo "line $i of stderr" >&2; i=$((i+1)); j=$((j+1)); done
      ${pause}
    done`;
  const stored = await server.submit(script(':'));
  await server.finished(stored);
  const live = await server.submit(script('sleep 0.1')); // some 30 s
  const numbers = Array.from({ length: lines }, (_, i) => i);
  const expected = {
    stdout: numbers.map((i) => `line ${i} of stdout\n`).join(''),
    stderr: numbers.filter((i) => i % 3 === 0).map((i) => `line ${i} of stderr\n`).join(''),
  };
  const proxies = [];
  try {
    const seen = await Promise.all(
      Array.from({ length: clients }, async (_, i) => {
        const proxy = await CuttingProxy.start(server.address, seededRandom(seed + i), cutsPerClient);
        proxies.push(proxy);
        const id = i % 2 === 0 ? live : stored;
        return { id, transcript: await readWithEventSource(proxy.port, id) };
      }),
    );
    assert.equal(proxies.reduce((sum, proxy) => sum + proxy.cuts, 0), clients * cutsPerClient, 'connections were cut');
    for (const { id, transcript } of seen) {
      transcript.checkReceipts();
      assert.equal(transcript.stdout.toString(), expected.stdout);
      assert.equal(transcript.stderr.toString(), expected.stderr);
      const uncut = await server.follow(id);
      assert.deepEqual(transcript.numbered, uncut.numbered);
    }
  } finally {
    for (const proxy of proxies) proxy.close();
  }
});
