// An endpoint of webhooks that writes down what it is sent: which messages came when, how often, in which order.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import http from 'node:http';

// How a receiver may behave; `n` counts the requests to the endpoint, from 0.
export const behaviours = {
  good: () => ({ status: 200 }),
  slow: () => ({ status: 200, after: 5000 }),
  failing: () => ({ status: 500 }),
  resetting: () => ({ reset: true }),
  flapping: (n) => (n % 25 < 22 ? { status: 200 } : { status: 503 }),
};

// What came to one endpoint.
export class Ledger {
  requests = 0;
  arrivals = []; // of a message that was taken for the first time: {id, sequence, event, data, at, lag}
  #bodies = new Map(); // by webhook-id
  #taken = new Set();
  duplicates = 0;

  constructor(name, behaviour = behaviours.good) {
    Object.assign(this, { name, behaviour });
  }

  // What is to be answered to this request.
  take(headers, body) {
    const id = headers['webhook-id'];
    assert.match(id, /^msg_[0-9a-hjkmnp-tv-z]{26}$/);
    assert.equal(this.#bodies.get(id) ?? body, body, `${id} has the same body each time`);
    this.#bodies.set(id, body);
    if (this.secret) this.checkSignature(headers, body);
    const how = this.behaviour(this.requests++);
    if (how.reset || how.status >= 300) return how;
    if (this.#taken.has(id)) {
      ++this.duplicates;
    } else {
      this.#taken.add(id);
      const { event, sequence, timestamp, data } = JSON.parse(body);
      const now = Date.now();
      this.arrivals.push({ id, sequence, event, data, at: now, lag: now - Date.parse(timestamp) });
    }
    return how;
  }

  checkSignature(headers, body) {
    const key = Buffer.from(this.secret.replace('whsec_', ''), 'base64');
    const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
    assert.equal(headers['webhook-signature'], `v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
  }

  get sequences() {
    return this.arrivals.map(({ sequence }) => sequence);
  }
  // Each of 1 to n was taken; `inOrder`: and for the first time in that order.
  checkWhole(n, { inOrder = false } = {}) {
    const sorted = inOrder ? this.sequences : [...this.sequences].sort((a, b) => a - b);
    assert.deepEqual(sorted, Array.from({ length: n }, (_, i) => i + 1), `${this.name} got each message`);
  }
}

// A server with an endpoint at each path; what a ledger finds wrong is thrown by close().
export class Receiver {
  ledgers = new Map();
  #problems = [];

  static async start() {
    const receiver = new Receiver();
    receiver.server = http.createServer((request, response) => receiver.#serve(request, response));
    receiver.server.keepAliveTimeout = 60_000;
    await new Promise((resolve) => receiver.server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  add(name, behaviour, ledger = new Ledger(name, behaviour)) {
    ledger.url = `http://127.0.0.1:${this.server.address().port}/${name}`;
    this.ledgers.set(`/${name}`, ledger);
    return ledger;
  }

  #serve(request, response) {
    const pieces = [];
    request.on('error', () => {});
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      let how = { status: 404 };
      try {
        how = this.ledgers.get(request.url)?.take(request.headers, Buffer.concat(pieces).toString()) ?? how;
      } catch (error) {
        this.#problems.push(error);
      }
      if (how.reset) return request.socket.resetAndDestroy();
      const answer = () => response.writeHead(how.status, how.headers).end(how.body);
      how.after ? setTimeout(answer, how.after).unref() : answer();
    });
  }

  check() {
    if (this.#problems.length > 0) throw this.#problems[0];
  }
  async close() {
    this.server.closeAllConnections?.();
    await new Promise((resolve) => this.server.close(resolve));
    this.check();
  }
}

// Registers an endpoint for a ledger, whose signatures are checked from then on.
export async function register(node, ledger, what = {}) {
  const answer = await node.api('POST', '/webhooks', { url: ledger.url, events: ['*'], ...what });
  assert.equal(answer.status, 201, answer.text);
  ledger.id = answer.data.webhook.id;
  ledger.secret = answer.data.secret;
  return answer.data.webhook;
}
