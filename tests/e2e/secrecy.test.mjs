// What a command must not reach, and what must not be written anywhere.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Receiver, open, verified } from './endpoint.mjs';
import { Server, allPids, commandLine, isRoot, mint, run, waitFor } from './support.mjs';

const marker = `marker${randomBytes(12).toString('hex')}`; // in the server's environment
let server;
before(async () => {
  server = await Server.start({ env: { ONLY_OF_THE_SERVER: marker, RDEV_LOG_LEVEL: 'debug', RDEV_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8' } });
});
after(() => server.close());

// What a script prints and how it ends.
async function tried(script, extra) {
  const seen = (await server.follow(await server.submit(script, extra))).checkReceipts();
  return { out: seen.stdout.toString(), err: seen.stderr.toString(), code: seen.complete.exit_code };
}

describe('a command, with a server that is root', { skip: !isRoot && 'only a server that is root has another user for its commands' }, () => {
  for (const name of ['admin.key', 'secrets.key', 'postgres/PG_VERSION', 'postgres/postmaster.pid'])
    test(`cannot read ${name}`, async () => {
      const file = path.join(server.dataDir, name);
      assert.ok(fs.existsSync(file), `${file} is there to be read`);
      for (const way of [file, `/proc/${server.pid}/root${file}`, `/proc/self/root${file}`, `../../${name}`]) {
        const { out, code } = await tried(['cat', way]);
        assert.notEqual(code, 0, way);
        assert.equal(out, '', way);
      }
    });

  test('has no rights of root', async () => {
    const { out } = await tried('id -u; id -G; grep -E "^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs)" /proc/self/status');
    const [uid, groups, ...rest] = out.trimEnd().split('\n');
    assert.notEqual(uid, '0');
    assert.ok(!groups.split(' ').includes('0'), 'no group of root');
    for (const line of rest.filter((l) => l.startsWith('Cap'))) assert.match(line, /\t0+$/);
  });

  test('cannot look into the data dir or the run folders of others', async () => {
    const other = await server.submit(['sh', '-c', 'echo secret-of-another; while [ ! -e done-looking ]; do sleep 0.1; done']);
    await server.follow(other, { until: (frame) => frame.event === 'output' });
    const { out } = await tried(`ls -R ${server.dataDir} ${server.dataDir}/run; cat ${server.dataDir}/run/*/* ${server.dataDir}/run/${other}/*`);
    assert.ok(!out.includes('secret-of-another'));
    assert.ok(!out.includes('admin.key'));
    server.put('done-looking', '');
    await server.finished(other);
  });

  test('cannot read the environment, memory or descriptors of the server', async () => {
    const ways = ['environ', 'mem', 'maps', 'fd/0', 'fd/1', 'fd/2'].map((name) => `/proc/${server.pid}/${name}`);
    for (const way of ways) {
      const { out } = await tried(`cat ${way} | head -c 1000`);
      assert.equal(out, '', way);
    }
    assert.equal((await tried(`ls /proc/${server.pid}/fd`)).out, '');
    assert.ok((await tried(['kill', '-0', String(server.pid)])).code !== 0, 'nor signal it');
  });

  test('finds nothing of the server’s environment in any process it may read', async () => {
    const { out } = await tried('for p in /proc/[0-9]*; do cat $p/environ $p/cmdline 2>/dev/null | tr "\\0" "\\n"; done');
    assert.match(out, /RDEV_COMMAND_ID=/, 'it reads what it may');
    assert.ok(!out.includes(marker));
    assert.ok(!out.includes('ONLY_OF_THE_SERVER'));
  });

  test('cannot reach the database', async () => {
    const [, , , port, folder] = fs.readFileSync(path.join(server.dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n');
    const socket = path.join(folder.trim(), `.s.PGSQL.${port.trim()}`);
    assert.ok(fs.existsSync(socket), `${socket} is there to be reached`);
    assert.equal((await tried(['ls', folder.trim()])).out, '');
    for (const user of ['postgres', 'rdev', 'root']) {
      const { out, code } = await tried(['psql', '-h', folder.trim(), '-p', port.trim(), '-U', user, '-d', 'rdev', '-Atc', 'SELECT 4711']);
      assert.notEqual(code, 0);
      assert.ok(!out.includes('4711'));
    }
    const { out } = await tried(['psql', '-h', '127.0.0.1', '-p', port.trim(), '-U', 'postgres', '-d', 'rdev', '-Atc', 'SELECT 4711']);
    assert.ok(!out.includes('4711'), 'nor by the network');
  });
});

test('a command has /dev/null as its input, and no descriptor of the server', async () => {
  const { out } = await tried('readlink /proc/$$/fd/0; ls /proc/$$/fd');
  const [input, ...open] = out.trimEnd().split('\n');
  assert.equal(input, '/dev/null');
  // The shell reads its script through one of its own.
  for (const number of open.map(Number)) assert.ok(number <= 2 || number >= 10, `descriptor ${number} is open`);
  const bare = await tried(['ls', '/proc/self/fd']); // 3 is the folder that ls reads
  assert.deepEqual(bare.out.trimEnd().split('\n'), ['0', '1', '2', '3']);
});

// Everything that is in the database, as text, with every form a secret could have in it.
async function wholeDatabase() {
  const tables = await server.psql(`SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`);
  assert.ok(tables.includes('api_keys'));
  const rows = tables.split('\n').map((table) => `SELECT '${table}: ' || t::text FROM ${table} t`);
  return server.psql(rows.join(' UNION ALL '));
}

function assertNowhere(secret, text, where) {
  const bytes = Buffer.from(secret);
  for (const form of [secret, bytes.toString('hex'), bytes.toString('base64').replace(/=*$/, '').slice(0, -1)])
    assert.ok(!text.includes(form), `a secret is in ${where}`);
}

// The files of PostgreSQL, its log of changes included.
async function nowhereInFiles(secret) {
  await server.psql('CHECKPOINT');
  const found = await run('grep', ['-rlaF', '--', secret, path.join(server.dataDir, 'postgres')]);
  assert.equal(found.code, 1, `a secret is in ${found.stdout}${found.stderr}`);
}

test('values of env are in no table, log or file of the database, neither while the command runs nor after', async () => {
  const value = `value${randomBytes(12).toString('hex')}`;
  const id = await server.submit(['sh', '-c', 'echo up; while [ ! -e enough ]; do sleep 0.1; done; [ -n "$TOKEN" ] && echo has it'], { env: { TOKEN: value } });
  await server.follow(id, { until: (frame) => frame.event === 'output' });
  const everywhere = async () => {
    assertNowhere(value, await wholeDatabase(), 'a table');
    assertNowhere(value, server.rawLog() + server.errors(), 'the log');
    await nowhereInFiles(value);
    assert.ok(!JSON.stringify(await server.view(id)).includes(value));
  };
  await everywhere();
  server.put('enough', '');
  const seen = await server.follow(id);
  assert.match(seen.stdout.toString(), /has it/, 'the command had the value');
  await server.finished(id);
  await everywhere();
});

test('keys are in no table, log or file of the database', async () => {
  const { secret } = await mint(server, { name: 'secret', scopes: ['projects:read'] });
  const headers = { 'X-API-Key': undefined, Authorization: `Bearer ${secret}` };
  assert.equal((await server.api('GET', '/projects', undefined, headers)).status, 200);
  assert.equal((await server.api('POST', '/projects', { id: 'x' }, headers)).status, 403);
  await server.api('GET', `/projects?key=${secret}`, undefined, headers);
  await waitFor('the refusal is logged', () => server.logs().some((line) => line.code === 'FORBIDDEN'));
  for (const text of [secret, server.key]) {
    assertNowhere(text, await wholeDatabase(), 'a table');
    assertNowhere(text, server.rawLog() + server.errors(), 'the log');
    await nowhereInFiles(text);
  }
});

test('secrets of webhooks are in no table, log, request or argument, and in no file of the database', async () => {
  const receiver = await Receiver.start();
  try {
    const endpoint = await open(server, receiver, { events: ['auth.anomaly'] });
    const rotated = await server.api('POST', `${endpoint.path}/rotate-secret`, {});
    assert.equal(rotated.status, 200, rotated.text);
    assert.equal((await server.api('POST', `${endpoint.path}/test`)).status, 202);
    const call = await endpoint.call('webhook.test');
    await waitFor('it is delivered', async () => (await endpoint.deliveries('?status=delivered')).length === 1);
    const seen = [await endpoint.view(), await endpoint.deliveries(), (await server.api('GET', '/webhooks')).text, call, (await server.api('GET', '/metrics')).text];
    verified(call, endpoint.plain);
    for (const secret of [endpoint.plain, rotated.data.secret]) {
      const text = secret.slice('whsec_'.length);
      const bytes = Buffer.from(text, 'base64');
      const database = await wholeDatabase();
      for (const form of [text, text.replace(/=*$/, ''), bytes.toString('hex'), bytes.toString('base64url')]) {
        assert.ok(!database.includes(form), 'a table');
        assert.ok(!(server.rawLog() + server.errors()).includes(form), 'the log');
        assert.ok(!JSON.stringify(seen).includes(form), 'an answer or a request');
        for (const pid of allPids()) assert.ok(!commandLine(pid).some((argument) => argument.includes(form)), 'an argument');
        await nowhereInFiles(form);
      }
    }
  } finally {
    await receiver.close();
  }
});

test('files with secrets are for their owner alone', () => {
  for (const name of ['admin.key', 'secrets.key']) {
    const { mode, uid } = fs.statSync(path.join(server.dataDir, name));
    assert.equal(mode & 0o777, 0o600, name);
    assert.equal(uid, process.getuid());
  }
});
