// Decides whether all that was seen of one run can be true together: what clients asked and were told, what commands
// did by themselves (their lines in the ledger, the bytes they wrote), and the rows that were left. Knows no server and
// no clock.
//
// A history is
//   lossAllowed  whether something was done after which a command may be `lost`
//   commands     for each command that a client wanted:
//     tag, key     its name in the ledger, its Idempotency-Key
//     writes       {stdout: {bytes, sha256Of(n)}, stderr: …}: what it writes in all, and the hash of its first n bytes
//     end          how it ends when nobody cancels it: {code}, {signal, code}, {timeout: true} or {never: true}
//     cancelAsked  whether a client wanted it cancelled
//     answers      what the submissions were answered: {status, id}; the status is 202, 503, 'cut' or 'timeout'
//     cancels      likewise for the cancels
//     views        what one reader saw in GET /commands/{id}, in this order: {http, view}
//     final        the same after everything had ended, at least twice
//     reading      its stream, resumed after each cut: {events: [{id, event, stream, offset, bytes, status}],
//                  stdout: {bytes, sha256}, stderr: …, complete, digest}
//     again        the same stream, read in one piece by a latecomer
//   rows         commands {id, tag}; queue and leases [id]; results {id, status, exit_code, signal, out_bytes, …};
//                events {id, event}, in order; audits {id, action}
//   sealed       what `rdev-api audit verify` said when all records were sealed: {code, text}
//   ledger       the lines `TAG PID RANDOM`
//   processes    what still lives of the commands: {pid, what}
//   deaths       how nodes ended: {node, code, signal, by: 'striker', 'failpoint' or 'itself'}
import { isDeepStrictEqual } from 'node:util';

const streams = ['stdout', 'stderr'];
const ranks = { queued: 0, running: 1 };
const rankOf = (status) => ranks[status] ?? 2;
const ended = (status) => ['completed', 'failed', 'timed_out', 'cancelled', 'lost'].includes(status);
const byItself = (status) => status === 'completed' || status === 'failed';
const only = (list, ...wanted) => list.length === wanted.length && wanted.every((one, i) => list[i] === one);
const shown = (value) => JSON.stringify(value);

export const idOf = (command) => command.answers.find(({ status }) => status === 202)?.id;
export const finalOf = (command) => command.final.at(-1)?.view;
// An end without an exit code although somebody ended it: it was decided before anything was executed.
const neverRan = (view) => ['cancelled', 'timed_out'].includes(view.status) && view.exit_code === null;

// Rows and ledger lines, looked up by command.
class Evidence {
  constructor(history) {
    this.history = history;
    const group = (rows) => {
      const found = new Map();
      for (const row of rows) found.set(row.id, [...(found.get(row.id) ?? []), row]);
      return (id) => found.get(id) ?? [];
    };
    this.results = group(history.rows.results);
    this.events = group(history.rows.events);
    this.audits = group(history.rows.audits);
    this.runs = new Map();
    this.illegible = [];
    for (const line of history.ledger) {
      const [, tag] = /^(\S+) \d+ \S+$/.exec(line) ?? [];
      if (tag === undefined) this.illegible.push(line);
      else this.runs.set(tag, (this.runs.get(tag) ?? 0) + 1);
    }
  }
  runsOf(command) {
    return this.runs.get(command.tag) ?? 0;
  }
}

// What a rule looks at: `each` at every command, `ended` at every one whose last view says that it has ended, `once` at
// the history as a whole. They yield what is wrong.
const rules = {
  'answers-as-agreed': {
    * each({ answers, cancels }) {
      for (const { status } of answers)
        if (![202, 503, 'cut', 'timeout'].includes(status)) yield `a submission was answered ${status}`;
      for (const { status } of cancels)
        if (![202, 409, 503, 'cut', 'timeout'].includes(status)) yield `a cancel was answered ${status}`;
    },
  },

  'accepted-in-the-end': {
    * each(command) {
      if (idOf(command) === undefined) yield `never 202, but ${command.answers.map(({ status }) => status).join(' ')}`;
    },
  },

  'no-acknowledged-command-missing': {
    * each(command, { history }) {
      const id = idOf(command);
      if (id === undefined) return;
      if (!history.rows.commands.some((row) => row.id === id)) yield `${id} has no row`;
      for (const { http } of [...command.views, ...command.final])
        if (http === 404) yield `GET of ${id} was answered 404`;
      if (command.final.length === 0 || command.final.some(({ http }) => http !== 200))
        yield `${id} cannot be read at the end`;
    },
  },

  'one-command-per-idempotency-key': {
    * each(command, { history }) {
      const told = new Set(command.answers.filter(({ status }) => status === 202).map(({ id }) => id));
      if (told.size > 1) yield `${command.key} was answered with ${[...told].join(' and ')}`;
      const made = history.rows.commands.filter(({ tag }) => tag === command.tag).map(({ id }) => id);
      if (made.length > 1) yield `${command.key} made ${made.join(' and ')}`;
    },
    * once({ history }) {
      const of = new Map();
      for (const command of history.commands) {
        const id = idOf(command);
        if (id !== undefined && of.has(id)) yield `${id} was given for ${of.get(id)} and ${command.key}`;
        of.set(id, command.key);
      }
    },
  },

  'no-unasked-command': {
    * once({ history, runs, illegible }) {
      const tags = new Set(history.commands.map(({ tag }) => tag));
      const ids = new Set(history.commands.map(idOf));
      for (const { id, tag } of history.rows.commands)
        if (!tags.has(tag) || !ids.has(id)) yield `${id} (${tag}) is a command that nobody was told of`;
      for (const tag of runs.keys()) if (!tags.has(tag)) yield `${tag} ran, and nobody had asked for it`;
      for (const line of illegible) yield `not a line of the ledger: ${shown(line)}`;
    },
  },

  'at-most-once': {
    * each(command, evidence) {
      const runs = evidence.runsOf(command);
      if (runs > 1) yield `it was started ${runs} times`;
    },
  },

  'exactly-once-while-the-machine-lives': {
    * ended(command, view, evidence) {
      const runs = evidence.runsOf(command);
      const wrote = streams.some((stream) => view[stream].bytes > 0);
      if (byItself(view.status) && runs === 0) yield `it is ${view.status} and was never started`;
      if (neverRan(view) && (runs > 0 || wrote)) yield `it is ${view.status} before its start, but it ran`;
      if (wrote && runs === 0) yield 'there is output of it, but it was never started';
    },
  },

  'lost-only-with-cause': {
    * ended(command, view, { history }) {
      if (view.status === 'lost' && !history.lossAllowed) yield `lost: ${view.reason}`;
    },
  },

  'outcome-as-written': {
    * ended({ end, cancelAsked }, view) {
      const { status, exit_code: code, signal } = view;
      if (status === 'lost') return;
      if (status === 'cancelled') {
        if (!cancelAsked) yield 'cancelled, and nobody had asked for it';
      } else if (status === 'timed_out') {
        if (!end.timeout) yield 'timed out, but it had time enough';
      } else if (end.never || end.timeout) yield `it cannot end by itself, but it is ${status} with ${code}`;
      else {
        const expected = shown({ status: end.code === 0 ? 'completed' : 'failed', code: end.code, signal: end.signal });
        const got = shown({ status, code, signal: signal ?? undefined });
        if (got !== expected) yield `${got} instead of ${expected}`;
      }
    },
  },

  'stream-byte-exact': {
    * ended({ writes, reading }, view) {
      for (const stream of streams) {
        if (!reading) return yield 'its stream was not read';
        const { bytes, sha256 } = reading[stream];
        const whole = writes[stream].bytes;
        if (bytes > whole) yield `${stream}: ${bytes} bytes of ${whole}`;
        else if (byItself(view.status) && bytes < whole) yield `${stream}: only ${bytes} bytes of ${whole}`;
        else if (sha256 !== writes[stream].sha256Of(bytes)) yield `${stream}: other bytes than the command wrote`;
      }
    },
  },

  'event-ids-once': {
    * each({ reading, again }) {
      for (const events of [reading?.events ?? [], again?.events ?? []]) {
        const seen = new Set();
        for (const { id, event } of events) {
          if (id === undefined && ['status', 'output', 'complete'].includes(event)) yield `${event} without an id`;
          if (id !== undefined && seen.has(id)) yield `event id ${id} came twice`;
          seen.add(id);
        }
      }
    },
  },

  'offsets-contiguous': {
    * each({ reading, again }) {
      for (const events of [reading?.events ?? [], again?.events ?? []]) {
        const next = { stdout: 0, stderr: 0 };
        for (const { event, id, stream, offset, bytes } of events) {
          if (event !== 'output') continue;
          if (offset !== next[stream]) yield `${stream}: event ${id} begins at ${offset} instead of ${next[stream]}`;
          next[stream] = offset + bytes;
        }
      }
    },
  },

  'receipts-equal-the-bytes': {
    * ended({ reading }, view, { results }) {
      const [row] = results(view.id);
      const stored = {
        stdout: row && { bytes: row.out_bytes, sha256: row.out_sha256, total_bytes: row.out_total },
        stderr: row && { bytes: row.err_bytes, sha256: row.err_sha256, total_bytes: row.err_total },
      };
      for (const stream of streams) {
        const seen = reading?.[stream];
        const receipts = { complete: reading?.complete?.[stream], GET: view[stream], row: stored[stream] };
        for (const [where, receipt] of Object.entries(receipts))
          if (!receipt || !seen || receipt.bytes !== seen.bytes || receipt.sha256 !== seen.sha256)
            yield `${stream}: ${where} says ${shown(receipt)}, what came is ${shown(seen)}`;
          else if (receipt.truncated || receipt.total_bytes !== receipt.bytes)
            yield `${stream}: ${where} says that output is missing: ${shown(receipt)}`;
      }
      if (byItself(view.status) && !view.complete) yield 'complete is false although nothing is missing';
    },
  },

  'readers-agree': {
    * ended({ reading, again }) {
      if (!again) yield 'nobody read its stream again';
      else if (reading && reading.digest !== again.digest) yield 'a latecomer sees other events';
    },
  },

  'states-along-the-diagram': {
    * ended({ views, final, reading }, view, { events }) {
      const names = events(view.id).map(({ event }) => event);
      const end = `command.${view.status}`;
      if (!only(names, 'command.queued', 'command.started', end) &&
          !(view.status === 'cancelled' && only(names, 'command.queued', end)))
        yield `its events are ${names.join(', ')}, its status is ${view.status}`;
      const statuses = [...views, ...final].filter(({ http }) => http === 200).map((seen) => seen.view.status);
      for (const [i, status] of statuses.entries()) {
        const before = statuses[i - 1];
        if (i > 0 && status !== before && rankOf(status) <= rankOf(before)) yield `GET says ${status} after ${before}`;
      }
      const streamed = (reading?.events ?? []).filter(({ event }) => event === 'status').map(({ status }) => status);
      if (!only(streamed, 'queued', 'running') && !(names.length === 2 && only(streamed, 'queued')))
        yield `its stream says ${streamed.join(', ')}`;
      const times = [view.created_at, view.started_at, view.finished_at].filter((time) => time !== null);
      if (times.some((time, i) => i > 0 && Date.parse(time) < Date.parse(times[i - 1])))
        yield `its times are ${times.join(', ')}`;
    },
  },

  'one-end': {
    * ended({ reading, again }, view, { results, events, audits }) {
      const rows = results(view.id);
      if (rows.length !== 1) yield `${rows.length} results`;
      const ends = events(view.id).filter(({ event }) => ended(event.replace('command.', '')));
      if (ends.length !== 1) yield `${ends.length} events of its end`;
      for (const one of [reading, again]) {
        const completes = (one?.events ?? []).filter(({ event }) => event === 'complete').length;
        if (completes !== 1) yield `${completes} times complete in a stream`;
        else if (one.complete.status !== view.status) yield `complete says ${one.complete.status}, GET ${view.status}`;
      }
      const count = (action) => audits(view.id).filter((audit) => audit.action === action).length;
      if (count('command.submit') !== 1) yield `${count('command.submit')} audit rows of its submission`;
      const started = events(view.id).some(({ event }) => event === 'command.started');
      // What was cancelled in the queue is in the audit log by its cancel.
      const closed = count('command.end');
      if (started ? closed !== 1 : closed > 1 || closed + count('command.cancel') === 0)
        yield `${closed} audit rows of its end`;
    },
  },

  'no-trail-without-a-command': {
    * once({ history }) {
      const known = new Set(history.rows.commands.map(({ id }) => id));
      for (const { id, action } of history.rows.audits) if (!known.has(id)) yield `${action} of ${id}, which is no command`;
    },
  },

  'the-audit-log-is-good': {
    * once({ history }) {
      const { code, text } = history.sealed;
      if (code !== 0) yield `audit verify ended with ${code}: ${text}`;
    },
  },

  'nothing-stuck': {
    * each(command) {
      const view = finalOf(command);
      if (view && !ended(view.status)) yield `still ${view.status}`;
    },
    * once({ history }) {
      const { queue, leases } = history.rows;
      if (queue.length > 0) yield `still queued: ${queue.join(' ')}`;
      if (leases.length > 0) yield `still leased: ${leases.join(' ')}`;
      for (const { pid, what } of history.processes) yield `process ${pid} still lives: ${what}`;
    },
  },

  'no-stale-completion': {
    * ended({ views, final }, view, { results }) {
      if (final.length < 2) yield 'it was not looked at twice';
      for (const seen of [...views, ...final])
        if (seen.http === 200 && ended(seen.view.status) && !isDeepStrictEqual(seen.view, view))
          yield `${shown(seen.view)} became ${shown(view)}`;
      const told = ({ status, exit_code, signal }) => shown({ status, exit_code, signal });
      for (const row of results(view.id))
        if (told(row) !== told(view)) yield `GET says ${told(view)}, its row ${told(row)}`;
    },
  },

  'nodes-die-only-when-killed': {
    * once({ history }) {
      for (const { node, code, signal, by } of history.deaths)
        if (by === 'itself') yield `${node} ended by itself: code ${code}, signal ${signal}`;
    },
  },
};

export const ruleNames = Object.keys(rules);

// Gives every breach of a rule as {rule, command, message}; a legal history has none.
export function check(history) {
  const evidence = new Evidence(history);
  const found = [];
  const take = (rule, command, messages) => {
    const whose = command && `${command.tag} ${idOf(command) ?? ''}`;
    for (const message of messages) found.push({ rule, command: whose, message });
  };
  for (const [rule, { each, ended: afterEnd, once }] of Object.entries(rules)) {
    for (const command of history.commands) {
      const view = finalOf(command);
      if (each) take(rule, command, each(command, evidence));
      if (afterEnd && view && ended(view.status)) take(rule, command, afterEnd(command, view, evidence));
    }
    if (once) take(rule, undefined, once(evidence));
  }
  return found;
}
