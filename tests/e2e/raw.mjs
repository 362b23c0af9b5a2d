// A TCP client that sends exactly the bytes it is given, cut as it is told, and reads answers strictly: what a lenient client
// would forgive is an error here. Text stands for bytes (latin1).
import assert from 'node:assert/strict';
import net from 'node:net';
import { patience, sleep } from './support.mjs';

const turn = () => new Promise((resolve) => setImmediate(resolve));

export class Connection {
  #socket;
  #pieces = [];
  #size = 0;
  #wake = () => {};
  ended = undefined; // 'eof' when the server has sent its last byte, 'reset' when it cut the connection

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (piece) => {
      this.#pieces.push(piece);
      this.#size += piece.length;
      this.#wake();
    });
    const ends = (how) => () => {
      this.ended ??= how;
      this.#wake();
    };
    socket.on('end', ends('eof'));
    socket.on('error', ends('reset'));
    socket.on('close', ends('eof'));
  }

  static open(address) {
    const [, host, port] = /^\[?([^\]]+)\]?:(\d+)$/.exec(address);
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
    });
  }

  // A segment a write. The pause behind each only makes it likely that the server sees the cut; nothing depends on it.
  async send(...segments) {
    for (const segment of segments) {
      if (this.ended) return;
      this.#socket.write(segment, 'latin1');
      if (segments.length > 1) await (segments.length > 4 ? turn() : sleep(1));
    }
  }

  // No more will be sent; answers can still be read.
  finish() {
    this.#socket.end();
  }
  // Takes nothing more from the socket until resume(), so that the server's buffers fill up.
  pause() {
    this.#socket.pause();
  }
  resume() {
    this.#socket.resume();
  }
  close() {
    this.#socket.destroy();
  }

  // The next answer, whole. An interim one (1xx) is an answer of its own.
  async answer({ to = 'GET' } = {}) {
    const end = await this.#until('the head of an answer', () => found(this.#bytes().indexOf('\r\n\r\n')));
    const answer = parseHead(this.#take(end).toString('latin1'));
    this.#take(4);
    answer.bytes = await this.#body(answer, to);
    answer.text = answer.bytes.toString('utf8');
    if (/^application\/json/.test(answer.headers['content-type'] ?? '') && answer.text !== '') {
      answer.json = JSON.parse(answer.text);
      Object.assign(answer, { data: answer.json.data, error: answer.json.error, meta: answer.json.meta });
    }
    return answer;
  }

  async answers(n, options) {
    const all = [];
    while (all.length < n) all.push(await this.answer(options));
    return all;
  }

  // Everything until the server has no more to say.
  async rest() {
    await this.#until('the end of the connection', () => (this.ended ? true : undefined));
    return this.#take(this.#size);
  }

  // The server closes, and says nothing more before it does.
  async closed() {
    const rest = await this.rest();
    assert.equal(rest.toString('latin1').slice(0, 300), '', 'bytes behind the last answer');
    return this.ended;
  }

  // The first bytes of an answer have come.
  begun() {
    return this.#until('the first byte of an answer', () => (this.#size > 0 ? true : undefined));
  }

  get waiting() {
    return this.#size;
  }

  async #body({ status, headers }, to) {
    if (to === 'HEAD' || status < 200 || status === 204 || status === 304) return Buffer.alloc(0);
    if (headers['transfer-encoding'] !== undefined) return this.#chunks();
    if (headers['content-length'] === undefined) return this.rest();
    const size = Number(headers['content-length']);
    await this.#until(`${size} bytes of a body`, () => (this.#size >= size ? true : undefined));
    return this.#take(size);
  }

  async #chunks() {
    const chunks = [];
    for (;;) {
      const size = await this.#line();
      assert.match(size, /^[0-9a-fA-F]{1,8}$/, 'size of a chunk');
      const bytes = parseInt(size, 16);
      if (bytes === 0) break;
      await this.#until('a chunk', () => (this.#size >= bytes + 2 ? true : undefined));
      chunks.push(this.#take(bytes));
      assert.equal(this.#take(2).toString('latin1'), '\r\n', 'what ends a chunk');
    }
    assert.equal(await this.#line(), '', 'a trailer');
    return Buffer.concat(chunks);
  }

  async #line() {
    const end = await this.#until('a line', () => found(this.#bytes().indexOf('\r\n')));
    const line = this.#take(end).toString('latin1');
    this.#take(2);
    return line;
  }

  #bytes() {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? Buffer.alloc(0);
  }

  #take(n) {
    const all = this.#bytes();
    this.#pieces = [all.subarray(n)];
    this.#size -= n;
    return all.subarray(0, n);
  }

  async #until(what, probe) {
    const end = Date.now() + patience;
    for (;;) {
      const got = probe();
      if (got !== undefined) return got;
      const soFar = () => `; so far: ${JSON.stringify(this.#bytes().toString('latin1', 0, 300))}`;
      if (this.ended) throw new Error(`the connection ended (${this.ended}) before ${what}${soFar()}`);
      if (Date.now() >= end) throw new Error(`not within ${patience / 1000} s: ${what}${soFar()}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, end - Date.now());
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

const found = (at) => (at < 0 ? undefined : at);

// A server may write only what every client reads in the same way (RFC 9112).
function parseHead(text) {
  const [start, ...lines] = text.split('\r\n');
  const [, status] = /^HTTP\/1\.1 ([1-5]\d\d) [\t\x20-\x7e]*$/.exec(start) ?? assert.fail(`status line: ${JSON.stringify(start)}`);
  const answer = { status: Number(status), headers: {}, names: [] };
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e]*)$/.exec(line) ?? assert.fail(`field: ${JSON.stringify(line)}`);
    assert.ok(!(name.toLowerCase() in answer.headers), `${name} comes twice`);
    answer.headers[name.toLowerCase()] = value;
    answer.names.push(name);
  }
  const { 'content-length': size, 'transfer-encoding': coding } = answer.headers;
  if (size !== undefined) assert.match(size, /^(0|[1-9]\d*)$/, 'Content-Length');
  if (coding !== undefined) assert.equal(coding, 'chunked', 'Transfer-Encoding');
  assert.ok(size === undefined || coding === undefined, 'both Content-Length and Transfer-Encoding');
  if (answer.status < 200 || answer.status === 204) assert.equal(size ?? coding, undefined, `the length of a ${answer.status}`);
  return answer;
}

// The ways to cut a request, each a list of segments: whole, byte by byte, and in two at both sides of everything that ends a
// part of it. Long ones are sliced. `behind` follows in the last segment.
export function cutsOf(request, behind = '') {
  const ways = { whole: [request + behind] };
  const inTwo = (at) => [request.slice(0, at), request.slice(at) + behind];
  if (request.length > 4096) {
    const size = request.length > 100_000 ? 16_384 : 1000;
    ways[`slices of ${size}`] = [...slices(request, size), behind].filter((part) => part !== '');
    ways['all but the last byte, and that'] = inTwo(request.length - 1);
    return ways;
  }
  ways['byte by byte'] = [...request, behind].filter((part) => part !== '');
  const edges = new Set([request.length >> 1, request.length]);
  for (const { index } of request.matchAll(/[\r\n;]/g)) edges.add(index).add(index + 1);
  for (const at of edges) if (at > 0 && inTwo(at)[1] !== '') ways[`cut at ${at}`] = inTwo(at);
  return ways;
}

function slices(text, size) {
  const all = [];
  for (let at = 0; at < text.length; at += size) all.push(text.slice(at, at + size));
  return all;
}
