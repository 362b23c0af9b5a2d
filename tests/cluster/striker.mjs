// The striker of a chaos run, and the warden, who brings back what has died and lets go on what stopped itself.
import fs from 'node:fs';
import path from 'node:path';
import { sleep, waitFor } from '../e2e/support.mjs';
import { idOf } from './history.mjs';
import { commandId } from './ids.mjs';
import { lease, states } from './plan.mjs';

const nothing = () => Object.fromEntries(states.map((state) => [state, 0]));

export class Striker {
  deaths = [];
  strikes = { kill: 0, freeze: 0, extra: 0, failpoint: {} };
  struck = nothing(); // how many commands were in which state when it struck
  #arms;
  #over = false; // no more failpoints
  #off = false; // the wardens go home

  constructor(plan, cluster, clients, log) {
    Object.assign(this, { plan, cluster, clients, log });
    this.#arms = [...plan.arms];
    for (const node of cluster.nodes) this.#guard(node);
  }

  async strikeAll() {
    const { nodes } = this.cluster;
    for (const [i, strike] of this.plan.strikes.entries()) {
      while (nodes.length < strike.nodes) {
        await this.cluster.add().start();
        this.#guard(nodes.at(-1));
      }
      await sleep(strike.wait);
      while (!(await this.#strike(i + 1, strike)));
      this.clients.strikesDone += 1;
      if (i + 1 === Math.ceil(this.plan.strikes.length * 0.75)) await this.#insist();
    }
    await Promise.all(nodes.map((node) => node.recovery));
    this.#over = true;
    for (const node of nodes) await this.#disarm(node);
  }

  async goHome() {
    this.#off = true;
    await Promise.all(this.cluster.nodes.map((node) => node.guarded));
  }

  // What the commands are doing: by the rows, and for claimed ones by their line in the ledger and their run folder.
  async #snapshot() {
    const rows = await this.cluster.database.rows(`
      SELECT command_id AS id, true AS queued, 0 AS age FROM queue_item UNION ALL
      SELECT command_id, false, extract(epoch FROM clock_timestamp() - started_at) * 1000 FROM lease`);
    const begun = new Set(this.cluster.nodes[0].lines('ledger').map((line) => line.split(' ')[0]));
    const tags = new Map(this.clients.seen.map((one) => [idOf(one), one.plan.tag]));
    const counts = nothing();
    for (const { id: uuid, queued, age } of rows) {
      const id = commandId(uuid);
      const ending = this.cluster.nodes.some(({ runDir }) => fs.existsSync(path.join(runDir, id, 'code')));
      const starting = age < 300 || (tags.has(id) && !begun.has(tags.get(id)));
      counts[queued ? 'queued' : ending ? 'ending' : starting ? 'starting' : 'running'] += 1;
    }
    return counts;
  }

  // Waits a little for the failpoint that the node is armed with.
  async #chance(node) {
    for (const until = Date.now() + 1500; node.armed && node.lives && !node.stopped && Date.now() < until;)
      await sleep(25);
  }

  // Waits a little for what a strike is to hit.
  async #aim(aim) {
    const until = Date.now() + 1500;
    for (;;) {
      const counts = await this.#snapshot();
      if (aim === 'any' || counts[aim] > 0 || Date.now() > until) return counts;
      await sleep(5);
    }
  }

  #count(counts) {
    for (const state of states) this.struck[state] += counts[state];
  }

  // False if the node was gone before it could be struck.
  async #strike(what, { kind, node: which, nodes, early, aim, away }, countAs = kind) {
    const here = this.cluster.nodes.slice(0, nodes);
    const fit = (node) => node.lives && !node.frozen && !node.stopped && (early || node.serves);
    // The wanted node, or another one when that one is away already.
    const node = await waitFor('a node that can be struck', () => [here[which % nodes], ...here].find(fit), 60_000);
    await this.#chance(node);
    const counts = await this.#aim(aim);
    if (!fit(node)) return false;
    this.#count(counts);
    this.strikes[countAs] += 1;
    this.log(`strike ${what}: ${kind} ${node.name} for ${away} ms, aim ${aim}, ${JSON.stringify(counts)}`);
    if (kind === 'kill') {
      node.away = away;
      await node.kill9();
      return true;
    }
    await node.freeze();
    node.recovery = sleep(away).then(() => node.thaw());
    if (nodes === 1) await node.recovery; // there is nobody else to strike meanwhile
    return true;
  }

  #missing(name) {
    return !this.strikes.failpoint[name];
  }

  // Strikes on, beyond the plan, until every failpoint of the plan was hit; gives up after as many strikes as were
  // planned. A node that is armed with a missing one is spared, if it can be: a take-over needs a survivor.
  async #insist() {
    const missing = () => this.plan.arms.some(({ name }) => this.#missing(name));
    const { nodes } = this.cluster;
    const most = this.plan.strikes.length;
    for (let extra = 0; missing() && extra < most; ++extra) {
      const spared = nodes.findIndex(({ armed }) => armed && this.#missing(armed.name));
      const node = spared < 0 ? extra % nodes.length : (spared + 1) % nodes.length;
      const strike = { kind: 'kill', node, nodes: nodes.length, aim: 'running', away: lease + 1500 };
      if (!(await this.#strike(`extra ${extra}`, strike, 'extra'))) continue;
      this.clients.strikesDone += 0.2;
    }
  }

  // From here on nothing is to happen to it any more.
  async #disarm(node) {
    const over = () => !node.armed || (node.lives && !node.stopped);
    await waitFor(`${node.name} has got over its failpoint`, over, 60_000);
    if (!node.armed) return;
    node.away = 0;
    await node.kill9();
  }

  // ---- the warden

  #guard(node) {
    const guard = async () => {
      while (!this.#off) {
        if (node.exited) await this.#bringBack(node);
        else if (node.stopped && !node.frozen) await this.#letGo(node);
        else await sleep(25);
      }
    };
    node.guarded = guard();
  }

  async #hit({ armed, name }) {
    const { failpoint } = this.strikes;
    failpoint[armed.name] = (failpoint[armed.name] ?? 0) + 1;
    const counts = await this.#snapshot();
    this.#count(counts);
    this.log(`${name} hit ${armed.name}:${armed.action}:${armed.nth}, ${JSON.stringify(counts)}`);
  }

  async #bringBack(node) {
    const { code, signal } = node.exited;
    const byFailpoint = node.struck === undefined && signal === 'SIGKILL' && node.armed?.action === 'kill';
    const by = node.struck ? 'striker' : byFailpoint ? 'failpoint' : 'itself';
    this.deaths.push({ node: node.name, code, signal, by });
    if (by === 'failpoint') await this.#hit(node);
    if (by === 'striker') await sleep(node.away);
    node.start({ failpoint: this.#arm(node, by) }).catch((error) => this.log(error.message.split('\n')[0]));
  }

  // The next failpoint of the plan, first one that was never hit. What was struck before it got there has two more
  // tries, and comes up again later if it is still missing.
  #arm(node, by) {
    const again = by === 'striker' && node.armed && node.tries < 3;
    node.tries = again ? node.tries + 1 : 1;
    if (!again) {
      if (by === 'striker' && node.armed && this.#missing(node.armed.name)) this.#arms.push(node.armed);
      const next = this.#arms.findIndex(({ name }) => this.#missing(name));
      [node.armed] = this.#arms.splice(Math.max(0, next), 1);
    }
    if (this.#over) node.armed = undefined;
    return node.armed ? `${node.armed.name}:${node.armed.action}:${node.armed.nth}` : '';
  }

  async #letGo(node) {
    if (node.armed?.action !== 'stop') throw new Error(`${node.name} stands still, and nobody had told it to`);
    await this.#hit(node);
    await sleep(node.armed.away);
    node.armed = undefined;
    await node.thaw();
  }
}
