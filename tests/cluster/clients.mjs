// The clients of a chaos run. Each submits with an Idempotency-Key, repeats with the same key at some node until it is
// told 202, reads the stream to its end wherever it can, and cancels now and then. All they are told is kept.
import { createHash } from 'node:crypto';
import { patience, seededRandom, sleep, waitFor } from '../e2e/support.mjs';
import { finalOf, idOf } from './history.mjs';
import { bodyOf, writesOf } from './plan.mjs';

const impatience = 2000; // after so long without an answer a client goes elsewhere
const silence = 3500; // a stream without even a heartbeat is given up

// Takes whatever comes, right or wrong: judging is the checker's business.
class Tape {
  events = [];
  bytes = { stdout: 0, stderr: 0 };
  #hash = { stdout: createHash('sha256'), stderr: createHash('sha256') };
  #digest = createHash('sha256');
  cuts = 0;

  add({ id, event, data }) {
    if (!['status', 'output', 'complete'].includes(event)) return;
    this.#digest.update(JSON.stringify([id, event, data]));
    if (id !== undefined) this.lastId = id;
    const seen = { id, event };
    if (event === 'status') seen.status = data.status;
    if (event === 'complete') this.complete ??= data;
    if (event === 'output') {
      const bytes = Buffer.from(data.line ?? data.data, data.encoding === 'base64' ? 'base64' : 'utf8');
      this.#hash[data.stream].update(bytes);
      if (data.eol) this.#hash[data.stream].update('\n');
      Object.assign(seen, { stream: data.stream, offset: data.offset, bytes: bytes.length + (data.eol ? 1 : 0) });
      this.bytes[data.stream] += seen.bytes;
    }
    this.events.push(seen);
  }

  get reading() {
    const of = (stream) => ({ bytes: this.bytes[stream], sha256: this.#hash[stream].copy().digest('hex') });
    const { events, complete } = this;
    return { events, complete, stdout: of('stdout'), stderr: of('stderr'), digest: this.#digest.copy().digest('hex') };
  }
}

// The answer of a promise, or 'timeout' if it takes too long; what comes later goes to `late`.
export function orTimeout(promise, ms, late = () => {}) {
  let over = false;
  let timer;
  promise.then((answer) => over && late(answer), () => {});
  const timeout = new Promise((resolve) => (timer = setTimeout(() => { over = true; resolve('timeout'); }, ms)));
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

export class Clients {
  strikesDone = 0;
  said = []; // what went wrong outside of any command's story
  #staring = true;
  #over = false; // nothing is waited for any more

  constructor(plan, cluster, blob) {
    Object.assign(this, { plan, cluster });
    this.seen = plan.commands.map((one) => ({
      plan: one, body: bodyOf(one), writes: writesOf(one, blob), tape: new Tape(), cancelAsked: false,
      answers: [], cancels: [], views: [], final: [], looked: Promise.resolve(),
    }));
    this.random = seededRandom(plan.commands.length); // which node is asked: no part of the plan
  }

  // `many` of them submit, each one command after the other; reading and cancelling go on beside that.
  begin(many) {
    const left = [...this.seen];
    const client = async () => {
      while (left.length > 0 && !this.#over) await this.#submitInTurn(left.shift());
    };
    this.asking = Promise.all([...Array.from({ length: many }, client), this.#stare()]);
  }

  // Waits until every command has been submitted, cancelled and read to its end, as it was planned.
  async end(within) {
    this.#staring = false;
    const all = async () => {
      await this.asking;
      await Promise.all(this.seen.flatMap(({ following, cancelling }) => [following, cancelling]));
    };
    if ((await orTimeout(all(), within)) === 'timeout') this.said.push(`not all was read within ${within / 1000} s`);
    this.#over = true;
  }

  // Looks at every command twice, by each node once if there are two, and reads its stream again in one piece.
  async lookBack() {
    for (const one of this.seen) {
      const id = idOf(one);
      if (id === undefined) continue;
      for (const node of [this.cluster.nodes[0], this.cluster.nodes.at(-1)]) {
        const answer = await orTimeout(node.api('GET', `/commands/${id}`), patience).catch(() => 'cut');
        one.final.push({ http: answer.status ?? answer, view: answer.data });
      }
      if (!finalOf(one)?.finished_at) continue;
      const late = new Tape();
      await this.#read(one, id, late);
      if (late.complete) one.again = late.reading;
    }
  }

  // A node that a client may think alive; it may be frozen.
  #someNode() {
    return waitFor('a node lives', () => {
      const up = this.cluster.nodes.filter((node) => node.lives && node.serves);
      return up[this.random(up.length)];
    }, 60_000);
  }

  async #ask(method, target, body, headers, late) {
    const node = await this.#someNode();
    try {
      const answer = await orTimeout(node.api(method, target, body, headers), impatience, late);
      return answer === 'timeout' ? { status: answer } : answer;
    } catch {
      return { status: 'cut' };
    }
  }

  // Commands are spread over the strikes, so that each strike meets some.
  async #submitInTurn(one) {
    const share = (this.seen.indexOf(one) / this.seen.length) * this.plan.strikes.length - 1.5;
    await waitFor('its turn', () => this.strikesDone >= share || this.#over, 600_000);
    while (!this.#over && (await this.#post(one)) !== 202) await sleep(50);
    const id = idOf(one);
    if (id === undefined) return;
    one.following = this.#follow(one, id).catch((error) => this.said.push(`${one.plan.tag}: ${error.stack}`));
    if (one.plan.cancelAfter !== undefined) one.cancelling = this.#cancel(one, id);
    if (one.plan.again) await this.#post(one);
  }

  async #post(one) {
    const told = ({ status, data }) => one.answers.push({ status, id: status === 202 ? data.id : undefined });
    const headers = { 'Idempotency-Key': one.plan.key };
    const answer = await this.#ask('POST', '/projects/demo/shell', one.body, headers, told);
    told(answer);
    return answer.status;
  }

  async #cancel(one, id) {
    await sleep(one.plan.cancelAfter);
    one.cancelAsked = true;
    while (!this.#over) {
      const { status } = await this.#ask('POST', `/commands/${id}/cancel`);
      one.cancels.push({ status });
      if (![503, 'cut', 'timeout'].includes(status)) return;
      await sleep(50);
    }
  }

  // One look after the other: what comes later must not be older.
  #look(one, id) {
    one.looked = one.looked.then(async () => {
      const { status, data } = await this.#ask('GET', `/commands/${id}`);
      if (typeof status === 'number') one.views.push({ http: status, view: data });
    });
    return one.looked;
  }

  async #stare() {
    while (this.#staring) {
      const going = this.seen.filter((one) => one.following && !one.tape.complete);
      const one = going[this.random(going.length)];
      if (one) await this.#look(one, idOf(one));
      await sleep(30);
    }
  }

  // Reads a stream to its end, each time from some other node, and looks at the command whenever it was cut.
  async #follow(one, id) {
    const { tape } = one;
    for (;;) {
      const status = await this.#read(one, id, tape);
      await this.#look(one, id);
      if (tape.complete || this.#over) return;
      if (![200, 503, 'cut', 'timeout'].includes(status)) {
        this.said.push(`${one.plan.tag} ${id}: its stream was answered ${status} after event ${tape.lastId}`);
        return;
      }
      tape.cuts += 1;
      await sleep(50);
    }
  }

  async #read(one, id, tape) {
    const node = await this.#someNode();
    const headers = tape.lastId === undefined ? {} : { 'Last-Event-ID': tape.lastId };
    let stream;
    try {
      const opening = node.openEvents(node.eventsOf(id, { framing: one.plan.framing }), headers);
      stream = await orTimeout(opening, impatience, (late) => late.close());
    } catch {
      return 'cut';
    }
    if (stream === 'timeout') return stream;
    const guard = setTimeout(stream.close, silence);
    try {
      if (stream.status !== 200) return stream.status;
      for await (const frame of stream.frames) {
        guard.refresh();
        tape.add(frame);
      }
      return 200;
    } catch (error) {
      // A dying server or an impatient reader cuts the connection.
      if (!['ECONNRESET', 'ABORT_ERR', 'ERR_STREAM_PREMATURE_CLOSE'].includes(error.code)) throw error;
      return 'cut';
    } finally {
      clearTimeout(guard);
      stream.close();
    }
  }
}
