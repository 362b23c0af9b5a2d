// Webhooks as their owners see them: what is registered, who is told what, how it is signed, and what is refused.
import assert from 'node:assert/strict';
import dns from 'node:dns/promises';
import net from 'node:net';
import os from 'node:os';
import { after, before, test } from 'node:test';
import { Receiver, assertNotVerified, open, verified } from './endpoint.mjs';
import { Server, assertRefused, assertTimes, fieldsOf, mint, waitFor } from './support.mjs';

let server;
let receiver;
before(async () => {
  server = await Server.start({ env: { RDEV_LIMITS_RPS: '0', RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8', RDEV_WEBHOOKS_RETRIES: '100ms,200ms,500ms' } });
  assert.equal((await server.api('POST', '/projects', { id: 'other' })).status, 201);
  receiver = await Receiver.start();
});
after(async () => {
  await server.close();
  await receiver.close();
});

const opened = (what, more) => open(server, receiver, what, more);
const somebody = (name) => mint(server, { name, scopes: ['projects:read'] });
const ping = async (endpoint) => {
  const answer = await server.api('POST', `${endpoint.path}/test`);
  assert.equal(answer.status, 202, answer.text);
  return answer;
};
const finish = async (command, extra) => {
  const id = await server.submit(command, extra);
  return server.finished(id);
};
const fieldsOfBody = ['data', 'event', 'sequence', 'timestamp'];

test('a new webhook shows its secret once, and appears in list and detail without it', async () => {
  const endpoint = await opened({ events: ['command.*', 'key.revoked'], description: 'for the tests' });
  const { webhook, plain } = endpoint;
  assert.match(webhook.id, /^wh_[0-9a-hjkmnp-tv-z]{26}$/);
  assert.match(plain, /^whsec_[A-Za-z0-9+/]+=*$/);
  const bytes = Buffer.from(plain.slice('whsec_'.length), 'base64').length;
  assert.ok(bytes >= 24 && bytes <= 64, `${bytes} bytes`);
  assert.deepEqual({ ...webhook, id: '', created_at: '', created_by: '' }, {
    id: '', url: endpoint.url, events: ['command.*', 'key.revoked'], projects: null, description: 'for the tests', enabled: true, ordered: false,
    status: 'active', reason: null, failing_since: null, created_at: '', created_by: '',
  });
  assert.match(webhook.created_by, /^key_/);
  const one = await server.api('GET', endpoint.path);
  assert.deepEqual(one.data, webhook);
  const list = await server.api('GET', '/webhooks');
  assert.deepEqual(list.data[0], webhook, 'newest first');
  for (const text of [one.text, list.text]) assert.ok(!text.includes('whsec_') && !text.includes('secret'));
});

test('a repeated Idempotency-Key makes no second webhook and shows no secret again', async () => {
  const body = { url: `http://127.0.0.1:${receiver.server.address().port}/nobody`, events: ['auth.*'] };
  const headers = { 'Idempotency-Key': 'one-webhook' };
  const first = await server.api('POST', '/webhooks', body, headers);
  assert.equal(first.status, 201, first.text);
  assert.equal(first.headers.location, `/webhooks/${first.data.webhook.id}`);
  const again = await server.api('POST', '/webhooks', body, headers);
  assert.equal(again.status, 201);
  assert.equal(again.headers['idempotency-replayed'], 'true');
  assert.deepEqual(again.data, { webhook: first.data.webhook, secret: null });
  assertRefused(await server.api('POST', '/webhooks', { ...body, events: ['*'] }, headers), 409, 'CONFLICT');
});

test('what is sent is signed so that published verifiers accept it, and refuse it when it was changed', async () => {
  const endpoint = await opened({ events: ['key.created'] });
  await somebody('signed');
  const call = await endpoint.call('key.created');
  assert.match(call.headers['content-type'], /^application\/json/);
  assert.match(call.headers['webhook-id'], /^msg_/);
  assert.ok(Math.abs(Number(call.headers['webhook-timestamp']) - Date.now() / 1000) < 30);
  assert.match(call.headers['webhook-signature'], /^v1,[A-Za-z0-9+/]{43}=$/);
  const seen = verified(call, endpoint.plain);
  assert.deepEqual(Object.keys(seen).sort(), fieldsOfBody);
  assert.equal(seen.event, 'key.created');
  assert.equal(seen.sequence, 1);
  assert.ok(Math.abs(Date.parse(seen.timestamp) - Date.now()) < 30_000);
  const other = (await opened({ events: ['webhook.disabled'] })).plain;
  assertNotVerified(call, other);
  assertNotVerified({ ...call, body: call.body.replace('key.created', 'key.revoked') }, endpoint.plain);
  assertNotVerified({ ...call, body: `${call.body} ` }, endpoint.plain);
  for (const [name, value] of [['webhook-id', 'msg_00000000000000000000000000'], ['webhook-timestamp', String(Number(call.headers['webhook-timestamp']) + 1)]])
    assertNotVerified({ ...call, headers: { ...call.headers, [name]: value } }, endpoint.plain);
});

test('during a rotation both secrets verify, after it only the new one', async () => {
  const endpoint = await opened({ events: ['auth.lockout'] });
  const rotate = async (body) => {
    const answer = await server.api('POST', `${endpoint.path}/rotate-secret`, body);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.data.webhook.id, endpoint.id);
    return answer.data.secret;
  };
  const pinged = async () => {
    const before = endpoint.calls.length;
    await ping(endpoint);
    return waitFor('the ping comes', () => endpoint.calls[before]);
  };
  const signatures = (call) => call.headers['webhook-signature'].split(' ').length;
  const second = await rotate({});
  assert.notEqual(second, endpoint.plain);
  await assertTimes(server, ['webhook.rotate_secret.former_until']);
  const both = await waitFor('two signatures', async () => {
    const call = await pinged();
    return signatures(call) === 2 && call;
  });
  verified(both, endpoint.plain);
  verified(both, second);
  assertNotVerified({ ...both, body: both.body.replace('webhook.test', 'webhook.fake') }, endpoint.plain);

  const third = await rotate({ overlap: '0s' });
  const alone = await waitFor('one signature', async () => {
    const call = await pinged();
    return signatures(call) === 1 && call;
  });
  verified(alone, third);
  for (const former of [endpoint.plain, second]) assertNotVerified(alone, former);

  const fourth = await rotate({ overlap: '2s' });
  const last = await waitFor('the overlap ends', async () => {
    const call = await pinged();
    if (signatures(call) === 2) verified(call, third);
    return signatures(call) === 1 && verified(call, fourth) && call;
  });
  assertNotVerified(last, third);
});

test('a command tells what becomes of it, in order, in less than 20 kB', async () => {
  const endpoint = await opened({ events: ['command.*'], ordered: true });
  const { id } = await finish('seq 100000; exit 3');
  await endpoint.call('command.failed');
  assert.deepEqual(endpoint.events, ['command.queued', 'command.started', 'command.failed']);
  assert.deepEqual(endpoint.sequences, [1, 2, 3]);
  for (const { body, data, headers } of endpoint.calls) {
    assert.ok(Buffer.byteLength(body) < 20_000);
    assert.deepEqual(Object.keys(JSON.parse(body)).sort(), fieldsOfBody);
    assert.equal(data.command_id, id);
    assert.equal(data.project, 'demo');
    assert.equal(data.type, 'shell');
    verified({ body, headers }, endpoint.plain);
  }
  const { data } = endpoint.calls.at(-1);
  assert.equal(data.exit_code, 3);
  assert.ok(Math.abs(data.duration_ms - (await server.view(id)).duration_ms) <= 1, 'but for rounding');
  const long = await finish(`: ${'x'.repeat(100_000)}`, { env: { TOKEN: 'value-of-an-env' } });
  await endpoint.call('command.completed', (one) => one.data.command_id === long.id);
  for (const { body } of endpoint.calls) assert.ok(Buffer.byteLength(body) < 20_000 && !body.includes('value-of-an-env'));
});

test('an endpoint is told what its filters and its projects let through, and nothing else', async () => {
  const completed = await opened({ events: ['command.completed'] });
  const keys = await opened({ events: ['key.*', 'command.failed'] });
  const all = await opened({ events: ['*'] });
  const bound = await opened({ events: ['*'], projects: ['other'] });
  const elsewhere = await opened({ events: ['command.*'], projects: ['not-there'] });
  await finish('true');
  await finish('false', { project: 'other' });
  await somebody('filtered');
  await all.call('key.created');
  await keys.call('key.created');
  await completed.call('command.completed');
  await bound.call('command.failed');
  // What comes last has come: what was before it would have come, too.
  for (const endpoint of [completed, keys, all, bound, elsewhere]) {
    await ping(endpoint);
    await endpoint.call('webhook.test');
  }
  const told = (endpoint) => endpoint.events.filter((event) => event !== 'webhook.test').sort();
  await waitFor('all is told', () => told(all).length >= 7);
  assert.deepEqual(told(completed), ['command.completed']);
  assert.deepEqual(told(keys), ['command.failed', 'key.created']);
  assert.deepEqual(told(bound), ['command.failed', 'command.queued', 'command.started']);
  assert.ok(bound.calls.every(({ event, data }) => event === 'webhook.test' || data.project === 'other'));
  assert.deepEqual(told(elsewhere), []);
  assert.deepEqual(told(all), ['command.completed', 'command.failed', 'command.queued', 'command.queued', 'command.started', 'command.started', 'key.created']);
  assert.equal(new Set(all.sequences).size, 8, 'each has a number of its own');
});

test('what happened before is not told, and a change of filters counts from then on', async () => {
  await somebody('before');
  const endpoint = await opened({ events: ['key.revoked'] });
  const witness = await opened({ events: ['key.created'] });
  await somebody('unheard');
  await witness.call('key.created'); // it has been made into deliveries by then, which is when filters count
  const changed = await endpoint.change({ events: ['key.created'] });
  assert.deepEqual(changed.events, ['key.created']);
  assert.equal(changed.url, endpoint.url, 'the rest stays');
  const { id } = await somebody('heard');
  await endpoint.call('key.created');
  await server.api('DELETE', `/keys/${id}`);
  await ping(endpoint);
  await endpoint.call('webhook.test');
  assert.deepEqual(endpoint.events, ['key.created', 'webhook.test']);
});

test('a ping goes to its endpoint whatever the filters are, and says where its delivery is', async () => {
  const endpoint = await opened({ events: ['auth.anomaly'] });
  const answer = await ping(endpoint);
  assert.equal(answer.headers.location, `${endpoint.path}/deliveries/${answer.data.id}`);
  assert.match(answer.data.id, /^dlv_/);
  assert.equal(answer.data.event, 'webhook.test');
  const call = await endpoint.call('webhook.test');
  assert.equal(call.headers['webhook-id'], answer.data.message_id);
  verified(call, endpoint.plain);
  const seen = await waitFor('it is delivered', async () => {
    const { data } = await server.api('GET', answer.headers.location);
    return data.status === 'delivered' && data;
  });
  assert.equal(seen.id, answer.data.id);
  assert.equal(seen.webhook_id, endpoint.id);
});

test('a body is refused with all that is wrong with it, and with what would be right', async () => {
  const refused = assertRefused(await server.api('POST', '/webhooks', { url: 5, events: ['command.done', '*'], projects: [], ordered: 1, secret: 'mine' }), 400, 'BAD_REQUEST');
  assert.deepEqual(fieldsOf(refused).sort(), ['events[0]', 'ordered', 'projects', 'secret', 'url']);
  assert.match(refused.error.details.find(({ field }) => field === 'events[0]').problem, /command\.completed, .*command\.\*/);
  const elsewhere = assertRefused(await server.api('POST', '/webhooks', { url: 'https://10.0.0.1/hook', events: ['command.done'], ordered: 1 }), 400, 'BAD_REQUEST');
  assert.deepEqual(fieldsOf(elsewhere).sort(), ['events[0]', 'ordered', 'url'], 'also by what the settings say');
  for (const body of [{ url: 'https://example.com/' }, { events: ['*'] }, { url: 'https://example.com/', events: [] }, { url: `https://example.com/${'x'.repeat(2100)}`, events: ['*'] }])
    assertRefused(await server.api('POST', '/webhooks', body), 400, 'BAD_REQUEST');
});

test('URLs that cannot be are refused with what to do about it', async () => {
  const addresses = ['10.0.0.1', '10.0.0.1:8443', '192.168.1.1', '172.16.0.1', '169.254.169.254', '100.64.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255',
    '[::1]', '[::]', '[fe80::1]', '[fd00::1]', '[::ffff:10.0.0.1]', '[::ffff:a00:1]', '[64:ff9b::a00:1]', '[ff02::1]',
    '167772161', '0xa000001', '012.0.0.1', '0xa.0.0.1', '10.1'];
  const endpoint = await opened({ events: ['auth.anomaly'] });
  for (const url of [...addresses.map((one) => `https://${one}/hook`), 'http://10.0.0.1/', 'http://8.8.8.8/hook', 'ftp://127.0.0.1/', 'example.com', 'https://', '/hook', 'https://exa mple.com/', 'javascript:alert(1)'])
    for (const [method, target, body] of [['POST', '/webhooks', { url, events: ['*'] }], ['PATCH', endpoint.path, { url }]]) {
      const refused = assertRefused(await server.api(method, target, body), 400, 'BAD_REQUEST');
      assert.deepEqual(fieldsOf(refused), ['url'], url);
      assert.match(refused.error.details[0].problem, /^(must|cannot) |webhooks\.allowed_networks|write it as/, `${url}: ${refused.error.details[0].problem}`);
    }
  assert.equal((await endpoint.view()).url, endpoint.url);
  for (const url of ['https://example.com/hook', 'https://example.com:8443/a?b=c', 'https://8.8.8.8/', 'http://127.0.0.1:1/', 'https://127.8.9.1/'])
    await endpoint.change({ url });
});

test('a name is looked at where it leads, when it is connected to', async (t) => {
  const name = os.hostname();
  const address = await dns.lookup(name).then((found) => found.address, () => '');
  if (!/^(127|10|172\.(1[6-9]|2\d|3[01])|192\.168|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])|f[cd]|::1)/.test(address)) return t.skip(`${name} leads to ${address || 'nowhere'}`);
  let connections = 0;
  const there = net.createServer((socket) => { ++connections; socket.destroy(); });
  await new Promise((resolve) => there.listen(0, address, resolve));
  const strict = await Server.start({ env: { RDEV_LIMITS_RPS: '0', RDEV_WEBHOOKS_RETRIES: '100ms' } });
  try {
    const { port } = there.address();
    for (const literal of ['127.0.0.1', 'localhost']) assertRefused(await strict.api('POST', '/webhooks', { url: `https://${literal}:${port}/`, events: ['*'] }), 400, 'BAD_REQUEST');
    const made = await strict.api('POST', '/webhooks', { url: `https://${name}:${port}/`, events: ['auth.anomaly'] });
    assert.equal(made.status, 201, made.text);
    const path = `/webhooks/${made.data.webhook.id}`;
    assert.equal((await strict.api('POST', `${path}/test`)).status, 202);
    const failed = await waitFor('the ping fails', async () => (await strict.api('GET', `${path}/deliveries?status=failed`)).data[0]);
    for (const { status, error } of failed.attempts) {
      assert.equal(status, null);
      assert.match(error, /is not allowed: .*webhooks\.allowed_networks/);
    }
    assert.equal(connections, 0);
  } finally {
    await strict.close();
    there.close();
  }
});

test('a removed webhook is gone with its deliveries, and nothing is sent any more', async () => {
  const endpoint = await opened({ events: ['key.created'] });
  const other = await opened({ events: ['key.created'] });
  await somebody('last');
  await endpoint.call('key.created');
  const removed = await server.api('DELETE', endpoint.path);
  assert.equal(removed.status, 200, removed.text);
  assert.equal(removed.data.id, endpoint.id);
  assert.equal(removed.data.url, endpoint.url);
  const delivery = `${endpoint.path}/deliveries/dlv_00000000000000000000000000`;
  for (const [method, target, body] of [['GET', endpoint.path], ['PATCH', endpoint.path, { enabled: true }], ['DELETE', endpoint.path], ['POST', `${endpoint.path}/test`], ['POST', `${endpoint.path}/rotate-secret`, {}],
    ['GET', `${endpoint.path}/deliveries`], ['GET', delivery], ['POST', `${delivery}/redeliver`], ['POST', `${endpoint.path}/redeliver`, {}]])
    assertRefused(await server.api(method, target, body), 404, 'NOT_FOUND');
  assert.ok(!(await server.api('GET', '/webhooks?limit=200')).data.some(({ id }) => id === endpoint.id));
  await somebody('unheard of');
  await waitFor('the other one is told', () => other.calls.length === 2);
  assert.equal(endpoint.calls.length, 1);
});

test('lists come in pages, newest first, each webhook once', async () => {
  const all = (await server.api('GET', '/webhooks?limit=200')).data.map(({ id }) => id);
  const seen = [];
  let cursor = '';
  do {
    const page = await server.api('GET', `/webhooks?limit=3${cursor && `&cursor=${cursor}`}`);
    seen.push(...page.data.map(({ id }) => id));
    cursor = page.meta.next_cursor;
  } while (cursor);
  assert.deepEqual(seen, all);
  assert.ok(new Set(seen).size === seen.length && seen.length > 3);
});

test('rdev webhooks makes one, tries it and shows what came of it', async () => {
  const endpoint = await opened({ events: ['auth.anomaly'] }); // for its place at the receiver
  const made = await server.rdev(['webhooks', 'create', endpoint.url, '--event', 'key.*', '--event', 'auth.lockout', '--project', 'demo', '--ordered']);
  assert.equal(made.code, 0, made.stderr.toString());
  assert.match(made.stdout.toString(), /secret \(shown this once\):\s+whsec_/);
  const id = /wh_[0-9a-z]{26}/.exec(made.stdout)[0];
  const { data } = await server.api('GET', `/webhooks/${id}`);
  assert.deepEqual([data.events, data.projects, data.ordered], [['key.*', 'auth.lockout'], ['demo'], true]);
  assert.match((await server.rdev(['webhooks'])).stdout.toString(), new RegExp(id));
  assert.match((await server.rdev(['webhooks', 'test', id])).stdout.toString(), /webhook\.test/);
  await waitFor('the ping is delivered', async () => {
    const shown = JSON.parse((await server.rdev(['webhooks', 'deliveries', id, '-o', 'json'])).stdout);
    return shown.length === 1 && shown[0].status === 'delivered';
  });
  const gone = await server.rdev(['webhooks', 'delete', id]);
  assert.equal(gone.code, 0, gone.stderr.toString());
  assertRefused(await server.api('GET', `/webhooks/${id}`), 404, 'NOT_FOUND');
});
