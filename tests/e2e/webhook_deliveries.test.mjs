// What becomes of deliveries: every attempt is shown, what fails comes again, what waits is kept, and what was is repeated
// when somebody asks for it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Receiver, open, verified } from './endpoint.mjs';
import { Server, assertRefused, assertTimes, fieldsOf, mint, waitFor } from './support.mjs';

let server; // patient
let brief; // gives up after two attempts, and on answers after two seconds
let receiver;
before(async () => {
  const env = { RDEV_LIMITS_RPS: '0', RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8' };
  server = await Server.start({ env: { ...env, RDEV_WEBHOOKS_RETRIES: ['100ms', '200ms', ...Array(10).fill('500ms')].join(',') } });
  brief = await Server.start({ env: { ...env, RDEV_WEBHOOKS_RETRIES: '100ms', RDEV_WEBHOOKS_TIMEOUT: '2s', RDEV_WEBHOOKS_DISABLE_AFTER: '1h' } });
  receiver = await Receiver.start();
});
after(async () => {
  await server.close();
  await brief.close();
  await receiver.close();
});

const somebody = (name, on = server) => mint(on, { name, scopes: ['projects:read'] });
const fails = (n, how, then = { status: 204 }) => (turn) => (turn < n ? how : then);
const idsOf = (calls) => calls.map(({ headers }) => headers['webhook-id']);
const inOrder = (times) => times.every((time, i) => i === 0 || times[i - 1] <= time);

test('every attempt is shown with its answer, its time and what was wrong', async () => {
  const answers = [{ reset: true }, { status: 500, body: 'try later' }, { status: 404, body: `\u0000\xff${'x'.repeat(50_000)}` }, { status: 200, body: 'thanks' }];
  const endpoint = await open(server, receiver, { events: ['key.created'] }, { behaviour: (turn) => answers[turn] ?? { status: 200 } });
  await somebody('attempted');
  const done = await endpoint.delivery('key.created', 'delivered');
  assert.deepEqual(Object.keys(done).sort(), ['attempts', 'created_at', 'event', 'id', 'message_id', 'next_attempt_at', 'sequence', 'status', 'webhook_id']);
  assert.equal(done.webhook_id, endpoint.id);
  assert.equal(done.sequence, 1);
  assert.equal(done.next_attempt_at, null);
  assert.deepEqual(done.attempts.map(({ status }) => status), [null, 500, 404, 200]);
  for (const one of done.attempts) assert.deepEqual(Object.keys(one).sort(), ['at', 'body', 'error', 'latency_ms', 'status']);
  assert.deepEqual(done.attempts.map(({ error }) => error === null), [false, false, false, true]);
  assert.equal(done.attempts[0].body, '');
  assert.equal(done.attempts[1].body, 'try later');
  assert.match(done.attempts[2].body, /xxx/);
  assert.ok(done.attempts[2].body.length <= 2048, 'only its beginning is kept');
  assert.equal(done.attempts[3].body, 'thanks');
  assert.ok(done.attempts.every(({ latency_ms: ms }) => Number.isInteger(ms) && ms >= 0));
  assert.ok(inOrder(done.attempts.map(({ at }) => Date.parse(at))));
  assert.deepEqual(idsOf(endpoint.calls), Array(4).fill(done.message_id), 'the same webhook-id each time');
  assert.equal(new Set(endpoint.calls.map(({ body }) => body)).size, 1, 'and the same body');
  for (const call of endpoint.calls) verified(call, endpoint.plain);
  assert.deepEqual((await server.api('GET', `${endpoint.path}/deliveries/${done.id}`)).data, done);
});

test('a webhook says that it fails, and since when, until it does no more', async () => {
  let well = false;
  const endpoint = await open(server, receiver, { events: ['key.created'] }, { behaviour: () => ({ status: well ? 200 : 422 }) });
  await somebody('in trouble');
  const failing = await waitFor('it fails', async () => {
    const view = await endpoint.view();
    return view.status === 'failing' && view;
  });
  assert.ok(Math.abs(Date.parse(failing.failing_since) - Date.now()) < 30_000);
  assert.equal(failing.enabled, true);
  const [pending] = await endpoint.deliveries('?status=pending');
  assert.equal(pending.event, 'key.created');
  assert.ok(Date.parse(pending.next_attempt_at) > Date.parse(pending.created_at));
  well = true;
  await endpoint.delivery('key.created', 'delivered');
  const view = await waitFor('it is well', async () => {
    const now = await endpoint.view();
    return now.status === 'active' && now;
  });
  assert.equal(view.failing_since, null);
});

test('an endpoint that is not there, one that redirects and one that takes too long', async () => {
  const slow = await open(brief, receiver, { events: ['key.created'] }, { behaviour: () => ({ status: 200, after: 20_000 }) });
  const target = receiver.add('target-of-a-redirect');
  const moved = await open(brief, receiver, { events: ['key.created'] }, { behaviour: () => ({ status: 307, headers: { Location: target.url } }) });
  const gone = await open(brief, receiver, { events: ['key.created'] });
  await gone.change({ url: 'http://127.0.0.1:1/' });
  await somebody('nobody', brief);
  const failed = (endpoint) => endpoint.delivery('key.created', 'failed');
  for (const { status, error, latency_ms: ms } of (await failed(slow)).attempts) {
    assert.equal(status, null);
    assert.match(error, /within/);
    assert.ok(ms >= 1900);
  }
  for (const { status, error } of (await failed(moved)).attempts) {
    assert.equal(status, 307);
    assert.match(error, /redirects are not followed/);
  }
  assert.equal(target.requests, 0, 'a redirect is not followed');
  const { attempts, next_attempt_at: next } = await failed(gone);
  assert.deepEqual(attempts.map(({ status }) => status), [null, null], 'two attempts are all');
  assert.equal(next, null);
});

test('Retry-After is honoured', async () => {
  for (const status of [503, 429]) {
    const endpoint = await open(server, receiver, { events: ['key.created'] }, { behaviour: fails(1, { status, headers: { 'Retry-After': '3' } }) });
    await somebody('patient');
    await endpoint.delivery('key.created', 'delivered');
    const [first, second] = endpoint.calls;
    assert.ok(second.at - first.at >= 2_950, `after ${second.at - first.at} ms`);
  }
});

test('an endpoint that wants order gets it, also while it fails', async () => {
  let well = false;
  const behaviour = () => ({ status: well ? 200 : 400 });
  const ordered = await open(server, receiver, { events: ['key.created'], ordered: true }, { behaviour });
  for (let i = 0; i < 5; ++i) await somebody(`ordered-${i}`);
  await waitFor('the first one is tried again', () => ordered.calls.length >= 3);
  assert.deepEqual(new Set(ordered.calls.map(({ sequence }) => sequence)), new Set([1]), 'nothing goes before it');
  assert.equal((await ordered.deliveries('?status=pending')).length, 5);
  well = true;
  for (let i = 5; i < 10; ++i) await somebody(`ordered-${i}`);
  await waitFor('all are taken', () => ordered.arrivals.length === 10);
  ordered.checkWhole(10, { inOrder: true });
  assert.ok(inOrder(ordered.calls.map(({ sequence }) => sequence)));
});

test('while it is paused what happens is kept, and sent when it is resumed', async () => {
  const endpoint = await open(server, receiver, { events: ['key.created'], ordered: true });
  const paused = await endpoint.change({ enabled: false });
  assert.equal(paused.status, 'paused');
  assert.equal(paused.reason, null);
  for (const name of ['a', 'b', 'c']) await somebody(name);
  const kept = await waitFor('they are kept', async () => {
    const all = await endpoint.deliveries('?status=blocked');
    return all.length === 3 && all;
  });
  assert.ok(kept.every(({ attempts }) => attempts.length === 0));
  assert.deepEqual(await endpoint.deliveries('?status=pending'), []);
  const ping = await server.api('POST', `${endpoint.path}/test`);
  assert.ok([202, 409].includes(ping.status), ping.text);
  assert.equal(endpoint.calls.length, 0);
  assert.equal((await endpoint.change({ enabled: true })).status, 'active');
  await waitFor('they are sent', () => endpoint.calls.filter(({ event }) => event === 'key.created').length === 3);
  assert.deepEqual(endpoint.sequences.slice(0, 3), [1, 2, 3]);
  await waitFor('they are delivered', async () => (await endpoint.deliveries('?status=delivered&event=key.*')).length === 3);
});

test('410 disables an endpoint and says why; others are told; what it missed is kept for it', async () => {
  let gone = true;
  const watcher = await open(server, receiver, { events: ['webhook.disabled'] });
  const endpoint = await open(server, receiver, { events: ['*'] }, { behaviour: () => ({ status: gone ? 410 : 200 }) });
  await somebody('too much');
  const disabled = await waitFor('it is disabled', async () => {
    const view = await endpoint.view();
    return view.status === 'disabled' && view;
  });
  assert.equal(disabled.enabled, false);
  assert.match(disabled.reason, /410|gone/i);
  const told = await watcher.call('webhook.disabled');
  assert.ok(told.body.includes(endpoint.id), told.body);
  assert.match(told.body, /410|gone/i);
  verified(told, watcher.plain);
  const [kept] = await endpoint.deliveries('?status=blocked&event=key.created');
  assert.deepEqual(kept.attempts.map(({ status }) => status), [410]);
  await somebody('afterwards');
  await waitFor('that is kept, too', async () => (await endpoint.deliveries('?status=blocked&event=key.created')).length === 2);
  const before = endpoint.calls.length;
  gone = false;
  const again = await endpoint.change({ enabled: true });
  assert.deepEqual([again.status, again.reason, again.failing_since], ['active', null, null]);
  await waitFor('both come', () => endpoint.calls.length >= before + 2);
  assert.ok(idsOf(endpoint.calls.slice(before)).includes(kept.message_id));
  assert.ok(!endpoint.events.includes('webhook.disabled'), 'it is not told of itself');
});

test('an endpoint that fails for too long is disabled', async () => {
  const strict = await Server.start({ env: { ...server.env, RDEV_WEBHOOKS_DISABLE_AFTER: '1s' } });
  try {
    const endpoint = await open(strict, receiver, { events: ['key.created'] }, { behaviour: () => ({ status: 500 }) });
    await somebody('never', strict);
    const view = await waitFor('it is disabled', async () => {
      const now = await endpoint.view();
      return now.status === 'disabled' && now;
    }, 60_000);
    assert.ok(view.reason.length > 3);
  } finally {
    await strict.close();
  }
});

test('a delivery is sent again when somebody asks, with the same webhook-id and sequence', async () => {
  const endpoint = await open(brief, receiver, { events: ['key.created'] }, { behaviour: fails(2, { status: 400 }) });
  await somebody('again', brief);
  const failed = await endpoint.delivery('key.created', 'failed');
  assert.equal(failed.attempts.length, 2);
  const again = await brief.api('POST', `${endpoint.path}/deliveries/${failed.id}/redeliver`);
  assert.equal(again.status, 202, again.text);
  assert.equal(again.headers.location, `${endpoint.path}/deliveries/${failed.id}`);
  assert.equal(again.data.id, failed.id);
  const done = await endpoint.delivery('key.created', 'delivered');
  assert.deepEqual(done.attempts.map(({ status }) => status), [400, 400, 204], 'former attempts stay');
  assert.equal((await brief.api('POST', `${endpoint.path}/deliveries/${failed.id}/redeliver`)).status, 202, 'also what was delivered');
  await waitFor('it comes once more', () => endpoint.calls.length === 4);
  assert.deepEqual(idsOf(endpoint.calls), Array(4).fill(failed.message_id));
  assert.ok(endpoint.calls.every(({ sequence }) => sequence === failed.sequence));
  assertRefused(await brief.api('POST', `${endpoint.path}/deliveries/dlv_00000000000000000000000000/redeliver`), 404, 'NOT_FOUND');
  const other = await open(brief, receiver, { events: ['auth.anomaly'] });
  assertRefused(await brief.api('POST', `${other.path}/deliveries/${failed.id}/redeliver`), 404, 'NOT_FOUND');
  assertRefused(await brief.api('GET', `${other.path}/deliveries/${failed.id}`), 404, 'NOT_FOUND');
});

test('what failed is replayed by filter', async () => {
  let well = false;
  const endpoint = await open(brief, receiver, { events: ['key.*'], ordered: true }, { behaviour: () => ({ status: well ? 200 : 400 }) });
  const { id } = await somebody('one', brief);
  await somebody('two', brief);
  assert.equal((await brief.api('DELETE', `/keys/${id}`)).status, 200);
  const failed = await waitFor('all fail', async () => {
    const all = await endpoint.deliveries('?status=failed');
    return all.length === 3 && all;
  });
  well = true;
  const before = endpoint.calls.length;
  const replay = async (body) => {
    const answer = await brief.api('POST', `${endpoint.path}/redeliver`, body);
    assert.equal(answer.status, 202, answer.text);
    return answer.data;
  };
  assert.deepEqual(await replay({ events: ['command.*'] }), { deliveries: 0 });
  assert.deepEqual(await replay({ to: failed[2].created_at }), { deliveries: 0 });
  assert.deepEqual(await replay({ from: new Date(Date.now() + 60_000).toISOString() }), { deliveries: 0 });
  assert.deepEqual(await replay({ events: ['key.revoked'] }), { deliveries: 1 });
  await waitFor('it comes', () => endpoint.calls.length === before + 1);
  assert.equal(endpoint.calls.at(-1).event, 'key.revoked');
  await endpoint.delivery('key.revoked', 'delivered');
  assert.deepEqual(await replay(), { deliveries: 2 }, 'without a wish: all that failed');
  await waitFor('they come', () => endpoint.calls.length === before + 3);
  assert.deepEqual(endpoint.calls.slice(-2).map(({ sequence }) => sequence), [1, 2], 'oldest first');
  await waitFor('all are delivered', async () => (await endpoint.deliveries('?status=delivered')).length === 3);
  assert.deepEqual(await replay({ status: 'delivered', events: ['key.created'] }), { deliveries: 2 });
  await waitFor('they come once more', () => endpoint.calls.length === before + 5);
  assert.equal(new Set(idsOf(endpoint.calls)).size, 3);
  await assertTimes(brief, ['webhook.redeliver.from', 'webhook.redeliver.to']);
});

test('deliveries are listed by what is asked for, in pages, newest first', async () => {
  const endpoint = await open(server, receiver, { events: ['key.*', 'project.created'] });
  for (const name of ['one', 'two', 'three']) await somebody(name);
  assert.equal((await server.api('POST', '/projects', { id: 'listed' })).status, 201);
  assert.equal((await server.api('POST', `${endpoint.path}/test`)).status, 202);
  const all = await waitFor('all is delivered', async () => {
    const seen = await endpoint.deliveries('?status=delivered');
    return seen.length === 5 && seen;
  });
  assert.deepEqual(all.map(({ sequence }) => sequence), [5, 4, 3, 2, 1]);
  const found = async (query) => (await endpoint.deliveries(query)).map(({ event }) => event);
  assert.deepEqual(await found('?event=key.*'), Array(3).fill('key.created'));
  assert.deepEqual(await found('?event=project.created'), ['project.created']);
  assert.deepEqual(await found('?event=webhook.test'), ['webhook.test']);
  assert.equal((await found('?event=*')).length, 5);
  assert.deepEqual(await found('?status=failed'), []);
  assert.equal((await found(`?from=${all[4].created_at}`)).length, 5);
  assert.deepEqual(await found(`?to=${all[4].created_at}`), []);
  assert.deepEqual(await found(`?from=${new Date(Date.now() + 60_000).toISOString()}`), []);
  const seen = [];
  let cursor = '';
  do {
    const page = await server.api('GET', `${endpoint.path}/deliveries?event=*&limit=2${cursor && `&cursor=${cursor}`}`);
    seen.push(...page.data.map(({ id }) => id));
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.deepEqual(seen, all.map(({ id }) => id));
  const refused = assertRefused(await server.api('GET', `${endpoint.path}/deliveries?status=lost&event=nothing&from=now&to=then&limit=0&cursor=x`), 400, 'BAD_REQUEST');
  assert.deepEqual(fieldsOf(refused).sort(), ['cursor', 'event', 'from', 'limit', 'status', 'to']);
});

test('a stop loses nothing: what waits is sent by the next server', async () => {
  let well = false;
  const endpoint = await open(server, receiver, { events: ['key.created'] }, { behaviour: () => ({ status: well ? 200 : 400 }) });
  for (const name of ['x', 'y', 'z']) await somebody(name);
  await waitFor('they are tried', () => endpoint.calls.length >= 3);
  await server.kill9();
  well = true;
  await server.start();
  await waitFor('all are taken', () => endpoint.arrivals.length === 3);
  endpoint.checkWhole(3);
});
