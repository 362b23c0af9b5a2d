// A command goes through the API into a real process, and its output comes back, byte for byte.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Server, alive, allPids, assertRefused, commandLine, isRoot, sha256, sleep, waitFor } from './support.mjs';

const MiB = 1024 * 1024;

describe('a server with its defaults', () => {
  let server;
  before(async () => { server = await Server.start({ env: { RDEV_COMMANDS_KILL_GRACE: '1s', ONLY_OF_THE_SERVER: 'yes' } }); });
  after(() => server.close());

  test('rdev run gives both streams and the exit code of the command', async () => {
    const done = await server.rdev(['run', 'demo', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
    assert.equal(done.stdout.toString(), 'out\n');
    assert.equal(done.stderr.toString(), 'err\n');
    assert.equal(done.code, 7);
  });

  for (const [size, bytes] of [['0 B', Buffer.alloc(0)], ['1 B', Buffer.from([0xff])], ['8 MiB', randomBytes(8 * MiB)]])
    test(`rdev run cat gives ${size} as they are`, async () => {
      server.put('big', bytes);
      const done = await server.rdev(['run', 'demo', '--', 'cat', 'big']);
      assert.equal(done.code, 0, done.stderr.toString());
      assert.equal(sha256(done.stdout), sha256(bytes));
      assert.equal(done.stderr.length, 0);
    });

  const noLineFeed = randomBytes(4 * MiB).map((byte) => (byte === 10 ? 11 : byte));
  const exact = {
    'a line without an end': Buffer.from('one\ntwo'),
    'only line feeds': Buffer.from('\n\n\n'),
    'NULs': Buffer.from('a\0b\n\0\n\0'),
    'invalid UTF-8': Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0xc3, 0x0a, 0xe2, 0x82, 0x0a, 0xed, 0xa0, 0x80, 0x0a, 0xf0, 0x9f]),
    'UTF-8 of all lengths': Buffer.from('é€😀\u2028\u2029\u0085\n'.repeat(20_000)),
    'CRLF and lone CR': Buffer.from('a\r\nb\rc\r\r\n\r'),
    'text that looks like event-stream fields': Buffer.from('data: x\n\nid: 7\nevent: complete\n: c\n\n'),
    'a single line of 4 MiB of letters': Buffer.alloc(4 * MiB, 'abcdefghijklmnopqrstuvwxyz'),
    'a single line of 4 MiB of random bytes': Buffer.from(noLineFeed),
  };
  for (const [name, bytes] of Object.entries(exact))
    for (const framing of ['line', 'chunk'])
      test(`${name} in ${framing} framing`, async () => {
        server.put('exact', bytes);
        const id = await server.submit(['sh', '-c', 'cat exact; cat exact >&2']);
        const seen = await server.follow(id, framing === 'chunk' ? { framing } : {});
        seen.checkReceipts();
        for (const stream of ['stdout', 'stderr']) assert.ok(seen[stream].equals(bytes), `${stream} differs`);
        assert.equal(seen.complete.status, 'completed');
        assert.equal(seen.complete.complete, true);
        assert.equal(seen.complete.stdout.total_bytes, bytes.length);
        for (const { data } of seen.frames.filter((f) => f.event === 'output')) {
          assert.equal('line' in data, framing === 'line');
          const carried = Buffer.from(data.line ?? data.data, data.encoding === 'base64' ? 'base64' : 'utf8');
          assert.ok(carried.length <= 32 * 1024, `a frame holds at most 32 KiB, this one ${carried.length}`);
          if (framing === 'line') assert.ok(!carried.includes(10), 'a line holds no LF');
          assert.equal(data.encoding, carried.equals(Buffer.from(carried.toString('utf8'))) ? 'utf-8' : 'base64');
        }
      });

  test('the raw output and its ranges are the same bytes', async () => {
    const bytes = randomBytes(200_000);
    server.put('raw', bytes);
    const id = await server.submit(['cat', 'raw']);
    await server.finished(id);
    const raw = (headers) => server.api('GET', `/commands/${id}/output?stream=stdout`, undefined, { Accept: 'application/octet-stream', ...headers });
    const whole = await raw();
    assert.equal(whole.status, 200);
    assert.ok(whole.bytes.equals(bytes));
    const part = await raw({ Range: 'bytes=70000-149999' });
    assert.equal(part.status, 206);
    assert.ok(part.bytes.equals(bytes.subarray(70_000, 150_000)));
  });

  test('a stream is framed as the contract has it', async () => {
    const id = await server.submit('echo hello');
    const stream = await server.openEvents(server.eventsOf(id));
    assert.equal(stream.headers['cache-control'], 'no-store');
    assert.equal(stream.headers['x-accel-buffering'], 'no');
    const frames = [];
    for await (const frame of stream.frames) frames.push(frame);
    assert.equal(frames[0].retry, '1000');
    const named = frames.filter((f) => f.event !== undefined && f.event !== 'heartbeat');
    assert.equal(named[0].event, 'connected');
    assert.deepEqual(named[0].data, { project: 'demo', stream_id: id, reconnecting: false });
    const output = named.find((f) => f.event === 'output');
    assert.deepEqual(output.data, { stream: 'stdout', line: 'hello', eol: true, encoding: 'utf-8', offset: 0 });
    assert.equal(named.at(-1).event, 'complete');
    for (const frame of frames)
      assert.equal(frame.id !== undefined, ['status', 'output', 'complete'].includes(frame.event), JSON.stringify(frame));
  });

  test('an unfinished line is flushed while the command goes on', async () => {
    const id = await server.submit(['sh', '-c', 'printf wait; while [ ! -e go ]; do sleep 0.05; done; echo .']);
    const seen = await server.follow(id, { until: (frame) => frame.event === 'output' });
    assert.equal(seen.stdout.toString(), 'wait');
    server.put('go', '');
    assert.equal((await server.follow(id)).stdout.toString(), 'wait.\n');
  });

  test('text is run by a shell, an array is not', async () => {
    const text = await server.follow(await server.submit('echo "$((1 + 1))" | tr 2 3\n# second line\necho "a  b"'));
    assert.equal(text.stdout.toString(), '3\na  b\n');
    const array = await server.follow(await server.submit(['echo', '$((1 + 1))', '', 'a  b', "it's", '*']));
    assert.equal(array.stdout.toString(), "$((1 + 1))  a  b it's *\n");
  });

  test('a script may be longer than one argument of a process', async () => {
    const id = await server.submit(`: '${'x'.repeat(300_000)}'\necho ran`);
    assert.equal((await server.follow(id)).stdout.toString(), 'ran\n');
  });

  test('git gets its arguments as they are', async () => {
    const git = async (...args) => {
      const answer = await server.api('POST', '/projects/demo/git', { args });
      assert.equal(answer.status, 202, answer.text);
      assert.equal(answer.headers.location, `/commands/${answer.data.id}`);
      assert.equal(answer.data.stream_url, `/projects/demo/events?stream_id=${answer.data.id}`);
      assert.equal(answer.data.status, 'queued');
      return (await server.follow(answer.data.id)).checkReceipts();
    };
    assert.match((await git('--version')).stdout.toString(), /^git version /);
    assert.equal((await git('init', '-q', 'a repo; with $PECULIAR name')).complete.exit_code, 0);
    assert.equal((await git('-C', 'a repo; with $PECULIAR name', 'rev-parse', '--is-inside-work-tree')).stdout.toString(), 'true\n');
    const failed = await git('-C', 'nowhere', 'status');
    assert.equal(failed.complete.exit_code, 128);
    assert.equal(failed.complete.status, 'failed');
    assert.equal(failed.complete.signal, null);
  });

  test('without claude its command ends with 127 and says what to install', async () => {
    const answer = await server.api('POST', '/projects/demo/claude', { prompt: 'say hello', env: { PATH: '/nowhere' } });
    assert.equal(answer.status, 202, answer.text);
    const seen = (await server.follow(answer.data.id)).checkReceipts();
    assert.equal(seen.complete.exit_code, 127);
    assert.equal(seen.complete.status, 'failed');
    assert.match(seen.stderr.toString(), /claude/);
    assert.match(seen.stderr.toString(), /install/i);
  });

  test('a program that does not exist ends with 127', async () => {
    const seen = await server.follow(await server.submit(['no-such-program-here']));
    assert.equal(seen.complete.exit_code, 127);
    assert.equal(seen.complete.status, 'failed');
  });

  test('a running command that exceeds its time is timed_out', async () => {
    const id = await server.submit(['sh', '-c', 'echo before; sleep 300'], { timeout_seconds: 1 });
    const seen = (await server.follow(id)).checkReceipts();
    assert.equal(seen.complete.status, 'timed_out');
    assert.equal(seen.stdout.toString(), 'before\n');
    assert.equal((await server.view(id)).status, 'timed_out');
  });

  test('cancel ends the whole tree of a running command, also what left its session or ignores TERM', async () => {
    const mark = `3153${process.pid}`; // seconds of sleep that nobody else sleeps
    const tree = `trap "" TERM
      sleep ${mark} &
      setsid sleep ${mark} &
      env -i setsid sh -c 'trap "" TERM; while :; do sleep ${mark}; done' &
      (sleep ${mark} & sleep ${mark}) &
      echo up; wait`;
    const marked = () => allPids().filter((pid) => commandLine(pid).some((arg) => arg === mark || arg.includes(`sleep ${mark}`)) && alive(pid));
    const id = await server.submit(['sh', '-c', tree]);
    await server.follow(id, { until: (frame) => frame.event === 'output' });
    await waitFor('the tree is up', () => marked().length >= 6);
    const answer = await server.api('POST', `/commands/${id}/cancel`);
    assert.equal(answer.status, 202, answer.text);
    assert.equal(answer.data.id, id);
    const view = await server.finished(id);
    assert.equal(view.status, 'cancelled');
    assert.equal(view.survivors, 0);
    await waitFor('nothing of the tree is left', () => marked().length === 0);
    assertRefused(await server.api('POST', `/commands/${id}/cancel`), 409, 'CONFLICT');
  });

  test('env reaches the command, and only its names are shown', async () => {
    const id = await server.submit(['env'], { env: { GREETING: 'hello world', EMPTY: '', LINES: 'a\nb' } });
    const lines = (await server.follow(id)).stdout.toString();
    assert.match(lines, /^GREETING=hello world$/m);
    assert.match(lines, /^EMPTY=$/m);
    assert.match(lines, /^LINES=a\nb$/m);
    assert.match(lines, new RegExp(`^RDEV_COMMAND_ID=${id}$`, 'm'));
    assert.match(lines, /^RDEV_PROJECT=demo$/m);
    assert.match(lines, new RegExp(`^RDEV_TOKEN=rdevcmd_${id.slice(4)}_[0-9a-f]{64}$`, 'm'));
    const allowed = /^(PATH|HOME|LANG|TERM|TZ|GREETING|EMPTY|LINES|b|RDEV_COMMAND_ID|RDEV_PROJECT|RDEV_TOKEN)(=|$)/;
    for (const line of lines.trimEnd().split('\n')) assert.match(line, allowed, 'nothing else of the environment');
    const view = await server.view(id);
    assert.deepEqual([...view.env].sort(), ['EMPTY', 'GREETING', 'LINES']);
    assert.ok(!JSON.stringify(view).includes('hello world'));
  });

  test('workdir is a folder of the workspace', async () => {
    assert.equal((await server.follow(await server.submit('mkdir -p deep/er'))).complete.exit_code, 0);
    const seen = await server.follow(await server.submit(['pwd'], { workdir: 'deep/er' }));
    assert.equal(seen.stdout.toString(), `${server.projectDir()}/deep/er\n`);
    const nowhere = await server.follow(await server.submit(['pwd'], { workdir: 'not-there' }));
    assert.equal(nowhere.complete.status, 'failed');
    assert.ok([126, 127].includes(nowhere.complete.exit_code), 'it could not start');
  });

  test('a command killed by SIGKILL has exit code 137 and the signal; one that says exit 137 has none', async () => {
    const killed = await server.follow(await server.submit(['sh', '-c', 'kill -9 $$']));
    assert.equal(killed.complete.exit_code, 137);
    assert.equal(killed.complete.signal, 'SIGKILL');
    assert.equal(killed.complete.status, 'failed');
    const said = await server.follow(await server.submit(['sh', '-c', 'exit 137']));
    assert.equal(said.complete.exit_code, 137);
    assert.equal(said.complete.signal, null);
    const run = await server.rdev(['run', 'demo', '--', 'sh', '-c', 'kill -9 $$']);
    assert.equal(run.code, 137);
  });

  test('a command ends with its main process; what it left in the background goes on', async () => {
    const id = await server.submit(['sh', '-c', '(while [ ! -e stop ]; do sleep 0.1; done; echo >stopped) & echo main']);
    const seen = (await server.follow(id)).checkReceipts();
    assert.equal(seen.complete.status, 'completed');
    assert.equal(server.take('stopped'), undefined);
    server.put('stop', '');
    await waitFor('the background process goes on to its own end', () => server.take('stopped') !== undefined);
  });

  test('a resume behind complete is answered with 204', async () => {
    const id = await server.submit('echo x');
    const seen = await server.follow(id);
    const again = await server.openEvents(server.eventsOf(id), { 'Last-Event-ID': seen.lastId });
    assert.equal(again.status, 204);
    again.close();
    const byQuery = await server.api('GET', `${server.eventsOf(id)}&last_event_id=${encodeURIComponent(seen.lastId)}`);
    assert.equal(byQuery.status, 204);
  });

  test('a Last-Event-ID that is malformed or beyond the end is a bad request', async () => {
    const short = await server.submit('echo short');
    const long = await server.submit('for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo $i >&2; sleep 0.05; done');
    await server.follow(short);
    const beyond = (await server.follow(long)).lastId;
    for (const id of ['garbage', '-1', '%00', '999999999999999999999999999999', beyond])
      assertRefused(await server.api('GET', server.eventsOf(short), undefined, { 'Last-Event-ID': id }), 400, 'BAD_REQUEST');
  });

  test('every resume point gives exactly the rest', async () => {
    const id = await server.submit('for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; printf tail');
    const whole = (await server.follow(id)).checkReceipts().numbered;
    for (let i = 0; i < whole.length - 1; ++i) {
      const stream = await server.openEvents(server.eventsOf(id), { 'Last-Event-ID': whole[i].id });
      const rest = [];
      for await (const frame of stream.frames) {
        if (frame.event === 'connected') assert.equal(frame.data.reconnecting, true);
        if (frame.id !== undefined) rest.push({ id: frame.id, event: frame.event, data: frame.data });
      }
      assert.deepEqual(rest, whole.slice(i + 1));
    }
  });

  test('several readers, early and late, see the same events', async () => {
    const id = await server.submit('i=0; while [ $i -lt 100 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); sleep 0.02; done');
    const early = Array.from({ length: 5 }, () => server.follow(id));
    await sleep(500); // any time in the middle will do
    const seen = await Promise.all([...early, server.follow(id), server.follow(id)]);
    seen.push(await server.follow(id));
    for (const one of seen) {
      one.checkReceipts();
      assert.deepEqual(one.numbered, seen[0].numbered);
    }
    assert.equal(seen[0].stdout.toString(), Array.from({ length: 100 }, (_, i) => `out ${i}\n`).join(''));
  });

  test('a repeated Idempotency-Key gives the first answer and runs nothing', async () => {
    const body = { command: 'echo >>once' };
    const headers = { 'Idempotency-Key': 'main-job-1' };
    const first = await server.api('POST', '/projects/demo/shell', body, headers);
    await server.finished(first.data.id);
    const second = await server.api('POST', '/projects/demo/shell', body, headers);
    assert.equal(second.status, 202);
    assert.deepEqual(second.data, first.data);
    assert.equal(second.headers['idempotency-replayed'], 'true');
    assert.notEqual(second.meta.request_id, first.meta.request_id);
    assertRefused(await server.api('POST', '/projects/demo/shell', { command: 'echo other' }, headers), 409, 'CONFLICT');
    assert.equal(server.take('once').length, 1);
  });

  test('rdev exits with 130 after an interrupt', async () => {
    const done = await server.rdev(['run', 'demo', '--', 'sh', '-c', 'echo up; sleep 300'], {
      onSpawn: (child) => child.stdout.once('data', () => child.kill('SIGINT')),
    });
    assert.equal(done.code, 130, done.stderr.toString());
  });

  test('rdev exits with 125 for its own troubles', async () => {
    assert.equal((await server.rdev(['run', 'not-there', '--', 'true'])).code, 125);
    assert.equal((await server.rdev(['run', 'demo', '--', 'true'], { env: { RDEV_API_KEY: 'nonsense' } })).code, 125);
  });

  test('rdev tail, commands, projects, keys and queue speak of the same things', async () => {
    const id = await server.submit('echo tailed; exit 3');
    await server.finished(id);
    assert.equal((await server.rdev(['tail', id])).stdout.toString(), 'tailed\n');
    const json = async (...args) => {
      const done = await server.rdev([...args, '-o', 'json']);
      assert.equal(done.code, 0, done.stderr.toString());
      return JSON.stringify(JSON.parse(done.stdout.toString()));
    };
    assert.ok((await json('commands')).includes(id));
    assert.ok((await json('projects')).includes('"demo"'));
    assert.ok((await json('keys')).includes('"admin"'));
    assert.ok((await json('queue')).includes('critical'));
  });

  test('local commands run as a user of their own when the server is root', { skip: !isRoot && 'the server is not root' }, async () => {
    const seen = await server.follow(await server.submit(['id', '-un']));
    assert.equal(seen.stdout.toString(), 'rdev-run\n');
  });
});

describe('a server that runs one command at a time', () => {
  let server;
  before(async () => { server = await Server.start({ env: { RDEV_COMMANDS_MAX_RUNNING: '1' } }); });
  after(() => server.close());

  const block = async (flag) => {
    const id = await server.submit(['sh', '-c', `while [ ! -e ${flag} ]; do sleep 0.05; done`]);
    await server.reaches(id, 'running');
    return { id, release: () => server.put(flag, '') };
  };

  test('what waits starts in the order of its priority', async () => {
    const blocker = await block('go-1');
    const ids = [];
    for (const priority of ['low', 'normal', 'high', 'critical'])
      ids.push(await server.submit(`echo ${priority} >>order`, { priority }));
    const queue = (await server.api('GET', '/queue')).data;
    assert.deepEqual(queue.depth, { critical: 1, high: 1, normal: 1, low: 1 });
    assert.equal(queue.running, 1);
    blocker.release();
    for (const id of ids) assert.equal((await server.finished(id)).status, 'completed');
    assert.equal(server.take('order').toString(), 'critical\nhigh\nnormal\nlow\n');
  });

  test('a queued command that is cancelled never runs', async () => {
    const blocker = await block('go-2');
    const id = await server.submit('echo >ran-though-cancelled');
    const answer = await server.api('POST', `/commands/${id}/cancel`);
    assert.equal(answer.status, 202, answer.text);
    assert.deepEqual(answer.data, { id, status: 'cancelled' });
    const seen = (await server.follow(id)).checkReceipts();
    assert.equal(seen.complete.status, 'cancelled');
    assert.equal(seen.complete.exit_code, null);
    blocker.release();
    await server.finished(blocker.id);
    assert.equal((await server.finished(await server.submit('true'))).status, 'completed'); // whatever waited has had its turn
    const view = await server.view(id);
    assert.equal(view.status, 'cancelled');
    assert.equal(view.started_at, null);
    assert.equal(view.exit_code, null);
    assert.equal(server.take('ran-though-cancelled'), undefined);
  });
});

describe('a server with small limits', () => {
  let server;
  before(async () => {
    server = await Server.start({ env: { RDEV_OUTPUT_MAX_BYTES: '1MiB', RDEV_COMMANDS_DEFAULT_TIMEOUT: '2s', RDEV_COMMANDS_KILL_GRACE: '1s' } });
  });
  after(() => server.close());

  test('output over the cap ends as truncated, and the stream says so', async () => {
    const id = await server.submit(['sh', '-c', 'head -c 3145728 /dev/zero; exit 5'], { timeout_seconds: 60 });
    const seen = (await server.follow(id)).checkReceipts();
    assert.ok(seen.stdout.length <= MiB);
    assert.ok(seen.stdout.length > MiB / 2, 'the cap is used');
    assert.equal(seen.complete.stdout.total_bytes, 3 * MiB);
    assert.equal(seen.complete.stdout.truncated, true);
    assert.equal(seen.complete.stderr.truncated, false);
    assert.equal(seen.complete.complete, false);
    assert.equal(seen.complete.status, 'failed');
    assert.equal(seen.complete.exit_code, 5);
    const said = seen.frames.filter((f) => f.event !== 'output' && f.event !== 'complete' && /truncat|max_bytes/i.test(JSON.stringify(f.data ?? '')));
    assert.ok(said.length > 0, 'an event before complete says that the output is truncated');
    const view = await server.view(id);
    assert.deepEqual(view.stdout, seen.complete.stdout);
    assert.equal(view.complete, false);
  });

  test('output of exactly the cap is whole', async () => {
    const seen = (await server.follow(await server.submit(['head', '-c', String(MiB), '/dev/zero'], { timeout_seconds: 60 }))).checkReceipts();
    assert.equal(seen.complete.stdout.bytes, MiB);
    assert.equal(seen.complete.stdout.truncated, false);
    assert.equal(seen.complete.complete, true);
  });

  test('rdev run exits with 124 when the time is up', async () => {
    const done = await server.rdev(['run', 'demo', '--', 'sh', '-c', 'echo before; sleep 300']);
    assert.equal(done.stdout.toString(), 'before\n');
    assert.equal(done.code, 124, done.stderr.toString());
  });
});
