// One request's way through the house, as the debug log tells it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, assertRefused, waitFor } from './support.mjs';

const order = ['ingress', 'auth', 'rate_limit', 'pod_control', 'command_queue', 'audit', 'webhooks'];
let server;
before(async () => { server = await Server.start({ env: { RDEV_LOG_LEVEL: 'debug' } }); });
after(() => server.close());

const wayOf = (request) =>
  server.logs().filter((line) => line.msg === 'message' && line.request_id === request).map((line) => line.to);

test('the messages of a submitted command name the seven protocols in order', async () => {
  for (const round of ['with cold caches', 'with warm caches']) {
    const answer = await server.api('POST', '/projects/demo/shell', { command: 'true' });
    assert.equal(answer.status, 202, answer.text);
    const way = await waitFor('the trace reaches the webhooks', () => {
      const seen = wayOf(answer.meta.request_id);
      return seen.includes('webhooks') && seen;
    });
    assert.deepEqual(way.filter((to) => order.includes(to)), order, round);
  }
});

test('a refused request goes no further than the one that refused it', async () => {
  const answer = assertRefused(await server.api('POST', '/projects/demo/shell', { command: 'true' }, { 'X-API-Key': 'nonsense' }), 401, 'UNAUTHORIZED');
  await waitFor('the request is logged', () => server.logs().some((line) => line.msg === 'request completed' && line.request_id === answer.meta.request_id));
  const way = wayOf(answer.meta.request_id);
  for (const name of ['pod_control', 'command_queue', 'webhooks']) assert.ok(!way.includes(name), `${name} in ${way}`);
});

test('a request id of the client is the one of the trace', async () => {
  const answer = await server.api('POST', '/projects/demo/shell', { command: 'true' }, { 'X-Request-ID': 'mine.1' });
  assert.equal(answer.meta.request_id, 'mine.1');
  await waitFor('the trace bears it', () => wayOf('mine.1').includes('webhooks'));
});
