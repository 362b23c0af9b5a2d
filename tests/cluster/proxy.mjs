// A TCP proxy on a free port that can cut, refuse or fall silent. It has a thread of its own: whatever a test does beside it must not
// look like a slow network to those who go through it.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export class Proxy {
  #worker;

  static async start(upstreamPort) {
    const proxy = new Proxy();
    proxy.#worker = new Worker(new URL('./proxy_worker.mjs', import.meta.url), { workerData: { upstreamPort } });
    [proxy.port] = await once(proxy.#worker, 'message');
    proxy.#worker.unref();
    return proxy;
  }

  // New connections go there.
  forwardTo(port) {
    this.#worker.postMessage(['forwardTo', port]);
  }
  // Resets every connection.
  cut() {
    this.#worker.postMessage(['cut']);
  }
  refuse() {
    this.#worker.postMessage(['refuse']);
  }
  admit() {
    this.#worker.postMessage(['admit']);
  }
  // Passes nothing on in either direction, not even an end, and still takes connections.
  fallSilent() {
    this.#worker.postMessage(['fallSilent']);
  }
  // Goes on with what was held back.
  speak() {
    this.#worker.postMessage(['speak']);
  }

  destroy() {
    void this.#worker.terminate();
  }
}
