// Pods for a chaos run (tests/cluster/chaos.mjs): where its commands run, what of it the test sees directly on this machine, and
// what goes wrong with the cluster meanwhile.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { sleep, waitFor } from '../e2e/support.mjs';
import { environmentOf, programs } from '../cluster/processes.mjs';
import { Proxy } from '../cluster/proxy.mjs';
import { kubeconfig, kubectl, testbed } from './cluster.mjs';
import { FakeCluster } from './fake_cluster.mjs';

const project = 'demo';

class World {
  troubles = {}; // how often each befell
  #over = false;

  // A project that runs; once for a run.
  async prepare(node) {
    const made = await node.api('POST', '/projects', { id: project });
    if (made.status !== 201) throw new Error(`the project cannot be made: ${made.text}`);
    await waitFor('the project runs', async () => (await node.api('GET', `/projects/${project}`)).data?.status === 'running', 60_000);
    await this.located();
  }
  projectDir() {
    return this.workspace;
  }
  // What lives of commands; the shells above them end with them.
  processes() {
    return programs().filter((pid) => environmentOf(pid).some((entry) => entry === `RDEV_PROJECT=${project}`));
  }
  // One trouble after the other until rest().
  begin(log) {
    const all = Object.entries(this.disturbances);
    this.disturbing = (async () => {
      for (let i = 0; !this.#over; ++i) {
        await sleep(this.between);
        if (this.#over) return;
        const [name, befall] = all[i % all.length];
        log(`trouble: ${name}`);
        await befall();
        this.troubles[name] = (this.troubles[name] ?? 0) + 1;
      }
    })();
    this.disturbing.catch(() => {});
  }
  async rest() {
    this.#over = true;
    await this.disturbing;
  }
}

// The cluster of RDEV_TEST_KUBECONFIG, which must be the testbed of this machine.
export class RealPods extends World {
  user = 1000;
  between = 2500;

  static async start() {
    const world = new RealPods();
    const text = fs.readFileSync(kubeconfig, 'utf8');
    const port = Number(/server: "https:\/\/127\.0\.0\.1:(\d+)"/.exec(text)[1]);
    world.proxy = await Proxy.start(port);
    world.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-pods-'));
    world.file = path.join(world.folder, 'kubeconfig');
    fs.writeFileSync(world.file, text.replace(/(server: "https:\/\/127\.0\.0\.1:)\d+/, `$1${world.proxy.port}`), { mode: 0o600 });
    await kubectl('delete', 'statefulset', `project-${project}`, '--ignore-not-found', '--cascade=foreground');
    await kubectl('wait', '--for=delete', `pod/project-${project}-0`, '--timeout=60s').catch(() => {});
    return world;
  }
  get env() {
    return { KUBECONFIG: this.file, RDEV_RUNNER_KIND: 'kubernetes', RDEV_KUBERNETES_IMAGE: 'localhost/tools:1' };
  }
  disturbances = {
    'execs cut': () => this.proxy.cut(),
    'kubelet restarted': () => testbed('restart', 'kubelet'),
    'execs cut again': () => this.proxy.cut(),
    'API server restarted': () => testbed('restart', 'kube-apiserver'),
    'execs cut once more': () => this.proxy.cut(),
    'containerd restarted': () => testbed('restart', 'containerd'),
  };
  async located() {
    const uid = (await kubectl('get', 'pod', `project-${project}-0`, '-o', 'jsonpath={.metadata.uid}')).trim();
    const volumes = path.join(path.dirname(path.dirname(kubeconfig)), 'state', 'kubelet', 'pods', uid, 'volumes', 'kubernetes.io~empty-dir');
    this.workspace = path.join(volumes, 'workspace');
    this.runDir = path.join(volumes, 'run');
  }
  async close() {
    this.proxy.destroy();
    fs.rmSync(this.folder, { recursive: true });
    await kubectl('delete', 'statefulset', `project-${project}`, '--ignore-not-found');
  }
}

export class ScriptedPods extends World {
  between = 700;

  static async start() {
    const world = new ScriptedPods();
    world.cluster = await FakeCluster.start();
    return world;
  }
  get env() {
    return { KUBECONFIG: this.cluster.kubeconfig, RDEV_RUNNER_KIND: 'kubernetes', RDEV_KUBERNETES_IMAGE: 'any:1', RDEV_KUBERNETES_RUN_DIR: this.cluster.runDir };
  }
  #next(...faults) {
    this.cluster.faults.exec.push(...faults);
  }
  disturbances = {
    'everything cut': () => this.cluster.cutAll(),
    'tails dropped with Success': () => this.#next({ dropAfter: 5000 }, { dropAfter: 0 }),
    'watches too old': () => this.cluster.expireWatches(),
    'execs cut early': () => this.#next({ cutAfter: 0 }, { cutAfter: 60 }, { cutAfter: 3000 }),
    'execs refused': () => this.#next({ refuse: '500 Internal Server Error' }, { refuse: '429 Too Many Requests' }),
    'an exec that stands still': () => this.#next({ freezeAfter: 2000 }),
  };
  async located() {
    const pod = this.cluster.pods.get(`project-${project}-0`);
    this.runDir = pod.volume;
    this.workspace = pod.workspace;
  }
  async close() {
    this.cluster.close();
  }
}
