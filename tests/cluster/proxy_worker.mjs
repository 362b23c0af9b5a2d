// Runs under proxy.mjs: the proxy itself. Messages to it are names of methods with their arguments.
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

class Proxy {
  #server;
  #pairs = new Set();
  #refusing = false;
  #silent = false;
  #upstreamPort;

  static async start(upstreamPort) {
    const proxy = new Proxy();
    proxy.forwardTo(upstreamPort);
    proxy.#server = net.createServer({ allowHalfOpen: true }, (client) => proxy.#serve(client));
    await new Promise((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    proxy.port = proxy.#server.address().port;
    return proxy;
  }

  #serve(client) {
    client.on('error', () => {});
    if (this.#refusing) return void client.resetAndDestroy();
    const upstream = net.connect({ host: '127.0.0.1', port: this.#upstreamPort, allowHalfOpen: true });
    const pair = [client, upstream];
    this.#pairs.add(pair);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.on('data', (piece) => { if (!to.destroyed) to.write(piece); });
      from.on('end', () => to.end());
      from.on('error', () => { if (!to.destroyed) to.resetAndDestroy(); });
      from.on('close', () => { this.#pairs.delete(pair); to.destroySoon(); });
      if (this.#silent) from.pause();
    }
  }

  forwardTo(port) {
    this.#upstreamPort = port;
  }
  // Resets every connection.
  cut() {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }
  refuse() {
    this.#refusing = true;
    this.cut();
  }
  admit() {
    this.#refusing = false;
  }
  // Passes nothing on in either direction, not even an end, and still takes connections.
  fallSilent() {
    this.#silent = true;
    for (const pair of this.#pairs) for (const socket of pair) socket.pause();
  }
  // Goes on with what was held back.
  speak() {
    this.#silent = false;
    for (const pair of this.#pairs) for (const socket of pair) socket.resume();
  }
}

const proxy = await Proxy.start(workerData.upstreamPort);
parentPort.on('message', ([what, ...args]) => proxy[what](...args));
parentPort.postMessage(proxy.port);
