// Keys, bans and the audit log when a write fails, when only its answer is lost, and when the node dies at that moment:
// each is there once, who asked can tell, and the chain holds.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertRefused, keyText, mint, waitFor } from '../e2e/support.mjs';
import { Cluster } from './cluster.mjs';
import { whyNoFailpoints } from './failpoints.mjs';
import { uuidOf } from './ids.mjs';

const skip = await whyNoFailpoints();
const env = {
  RDEV_LIMITS_UNAUTHENTICATED_RPS: '0',
  RDEV_HTTP_TRUSTED_PROXIES: '127.0.0.1',
  RDEV_AUDIT_REFUSALS_PER_MINUTE: '1000',
};
const as = (secret) => ({ 'X-API-Key': secret });

describe('records of a cluster', { skip }, () => {
  let cluster;
  let a; // has the failpoint
  let b;
  before(async () => {
    cluster = await Cluster.start({ env });
    [a, b] = [cluster.add('a'), cluster.add('b')];
    await Promise.all([a.start(), b.start()]);
  });
  after(() => cluster?.close());

  const rows = (from) => cluster.database.count(from);
  const audits = (action, where) => rows(`audit_log WHERE action = '${action}' AND ${where}`);
  async function arm(failpoint) {
    await a.stop();
    await a.start({ failpoint });
  }
  // What comes of a request at the armed node: its answer, or nothing if the node died of it; it is up again then.
  async function strikes(how, ask) {
    const answer = await ask().catch(() => undefined);
    if (how === 'error') {
      assertRefused(answer, 503, 'SERVICE_UNAVAILABLE');
      assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
      return;
    }
    assert.equal(answer, undefined, 'the node died before it answered');
    await waitFor('node a has ended', () => a.exited);
    await a.start();
  }
  async function chainHolds() {
    await waitFor('all is sealed', async () => (await rows('audit_log l WHERE NOT EXISTS (SELECT 1 FROM audit_seals s WHERE s.row_id = l.id)')) === 0);
    assert.equal(await rows('(SELECT row_id FROM audit_seals GROUP BY row_id HAVING count(*) > 1) AS doubled'), 0);
    const { code, text } = await cluster.verifyAudit();
    assert.equal(code, 0, text);
  }

  for (const how of ['error', 'kill']) {
    test(`key.after:${how}: a revocation counts, and is told when it is asked for again`, async () => {
      const { id, secret } = await mint(b, { name: `revoked ${how}`, scopes: ['projects:read'] });
      await arm(`key.after:${how}`);
      await strikes(how, () => a.api('DELETE', `/keys/${id}`));
      const repeat = await b.api('DELETE', `/keys/${id}`);
      assert.equal(repeat.status, 200, repeat.text);
      for (const node of [a, b]) assertRefused(await node.api('GET', '/projects', undefined, as(secret)), 401, 'KEY_REVOKED');
      assert.equal(await audits('key.revoke', `target = '${uuidOf(id)}'`), 1);
      assert.equal(await rows(`event WHERE event = 'key.revoked' AND key_id = '${uuidOf(id)}'`), 1);
    });

    test(`key.after:${how}: a key is made once`, async () => {
      await arm(`key.after:${how}`);
      const name = `made-${how}`;
      const make = (node) => node.api('POST', '/keys', { name, scopes: ['projects:read'] }, { 'Idempotency-Key': name });
      await strikes(how, () => make(a));
      const repeat = await make(b);
      assert.equal(repeat.status, 201, repeat.text);
      assert.equal(repeat.headers['idempotency-replayed'], 'true');
      assert.equal(repeat.data.secret, null);
      assert.equal(await rows(`api_keys WHERE name = '${name}'`), 1);
      assert.equal(await audits('key.create', `target = '${uuidOf(repeat.data.key.id)}'`), 1);
    });

    test(`ban.after:${how}: an address is locked out once, on both nodes`, async () => {
      await arm(`ban.after:${how}`);
      const address = how === 'kill' ? '192.0.2.1' : '192.0.2.2';
      const guess = (node) => node.api('GET', '/projects', undefined, { ...as(keyText('rdev_guessing', 'A'.repeat(37))), 'X-Forwarded-For': address });
      for (let i = 0; i < 10; ++i) await guess(a).catch(() => {});
      const ban = () => rows(`ban WHERE network = '${address}' AND until > clock_timestamp()`);
      await waitFor('it is written down', async () => (await ban()) === 1);
      if (how === 'kill') {
        await waitFor('node a has ended', () => a.exited);
        await a.start();
      }
      for (const node of [a, b]) await waitFor(`${node.name} knows of it`, async () => (await guess(node)).status === 429);
      assert.equal(await audits('auth.lockout', `target = '${address}/32'`), 1);
      assert.equal(await rows(`event WHERE event = 'auth.lockout' AND data->>'network' = '${address}/32'`), 1);
    });

    test(`seal.after:${how}: each record has one link`, async () => {
      await b.stop(); // or it might be the one that seals
      await arm(`seal.after:${how}:3`);
      for (let i = 0; i < 20 && !a.exited; ++i) {
        const before = await rows('audit_seals');
        await mint(a, { name: `sealed ${how} ${i}`, scopes: ['projects:read'] }).catch(() => {});
        await waitFor('more is sealed', async () => a.exited || (await rows('audit_seals')) > before);
      }
      if (how === 'kill') {
        await waitFor('node a has ended', () => a.exited);
        await a.start();
      }
      await b.start();
      await chainHolds();
    });
  }

  for (const when of ['before', 'after'])
    test(`record.${when}:error: each refusal is on record once`, async () => {
      const { id, secret } = await mint(b, { name: `refused ${when}`, scopes: ['projects:read'] });
      await arm(`record.${when}:error:2`);
      const recorded = () => audits('request.refused', `actor_key = '${uuidOf(id)}'`);
      for (const sum of [15, 30]) { // those of a tenth of a second are written together
        for (let i = 0; i < 15; ++i) assertRefused(await a.api('GET', '/keys', undefined, as(secret)), 403, 'FORBIDDEN');
        await waitFor('they are on record', async () => (await recorded()) >= sum);
      }
      assert.match((await a.api('GET', '/metrics')).text, /^rdev_faults_total\{where="audit"\} 1$/m, 'it has struck');
      await a.stop(); // writes down what it has
      assert.equal(await recorded(), 30);
      await a.start();
    });

  test('key.before:error: nothing is made, and a repeat makes it', async () => {
    await arm('key.before:error');
    const make = () => a.api('POST', '/keys', { name: 'at-last', scopes: ['projects:read'] }, { 'Idempotency-Key': 'at-last' });
    await strikes('error', make);
    assert.equal(await rows("api_keys WHERE name = 'at-last'"), 0);
    const repeat = await make();
    assert.equal(repeat.status, 201, repeat.text);
    assert.equal(repeat.headers['idempotency-replayed'], undefined);
    assert.equal((await a.api('GET', '/projects', undefined, as(repeat.data.secret))).status, 200);
  });

  test('the chain holds at the end', chainHolds);
});
