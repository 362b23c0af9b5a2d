// An endpoint of webhooks that keeps every request as it came, and what verifiers that others wrote say about it.
import assert from 'node:assert/strict';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';

import { Ledger, Receiver } from '../cluster/ledger.mjs';
import { waitFor } from './support.mjs';

export class Endpoint extends Ledger {
  calls = []; // {headers, body, at} and what the body says; also those that were not taken

  take(headers, body) {
    this.calls.push({ headers, body, at: Date.now(), ...JSON.parse(body) });
    return super.take(headers, body);
  }
  // The first call for an event.
  call(event, of = () => true) {
    return waitFor(`${event} comes to ${this.name}`, () => this.calls.find((one) => one.event === event && of(one)));
  }
  get events() {
    return this.calls.map(({ event }) => event);
  }
}

let made = 0;
// A registered endpoint; `what` as POST wants it. Its `secret` is kept apart from the ledger, which would check it.
export async function open(server, receiver, what = {}, { behaviour, headers } = {}) {
  const name = `endpoint-${made++}`;
  const endpoint = receiver.add(name, behaviour, new Endpoint(name, behaviour));
  const answer = await server.api('POST', '/webhooks', { url: endpoint.url, events: ['*'], ...what }, headers);
  assert.equal(answer.status, 201, answer.text);
  endpoint.id = answer.data.webhook.id;
  endpoint.webhook = answer.data.webhook;
  endpoint.plain = answer.data.secret;
  endpoint.path = `/webhooks/${endpoint.id}`;
  endpoint.view = async () => (await server.api('GET', endpoint.path)).data;
  endpoint.deliveries = async (query = '') => (await server.api('GET', `${endpoint.path}/deliveries${query}`)).data;
  endpoint.change = async (body) => {
    const changed = await server.api('PATCH', endpoint.path, body);
    assert.equal(changed.status, 200, changed.text);
    return changed.data;
  };
  // The only delivery of an event, once it is as wanted.
  endpoint.delivery = (event, status) =>
    waitFor(`the delivery of ${event} is ${status}`, async () => (await endpoint.deliveries(`?event=${event}&status=${status}`))[0]);
  return endpoint;
}

export { Receiver };

// Both verifiers, unchanged: what they make of a call under a secret; throws where one refuses it.
export function verified({ body, headers }, secret) {
  const seen = [new Standard(secret).verify(body, headers), new Svix(secret).verify(body, headers)];
  assert.deepEqual(seen[0], seen[1]);
  return seen[0];
}

export function assertNotVerified({ body, headers }, secret) {
  for (const Verifier of [Standard, Svix]) assert.throws(() => new Verifier(secret).verify(body, headers), { name: 'WebhookVerificationError' });
}
