// A small disk, which a test can fill.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const disks = new Set();

export class SmallDisk {
  refused = undefined; // why it could not be mounted

  constructor(megabytes) {
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'rdev-disk-'));
    disks.add(this);
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'rdev-test', this.folder]);
    if (mount.status !== 0) this.refused = `mount: ${mount.stderr ?? mount.error}`.trim();
  }

  // Synchronous, because it also runs when the test process exits.
  destroy() {
    if (!disks.delete(this)) return;
    if (!this.refused) spawnSync('umount', ['-l', this.folder]);
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

process.on('exit', () => {
  for (const disk of disks) disk.destroy();
});
