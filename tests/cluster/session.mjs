// One psql that stays, so that a look costs milliseconds; questions are answered one after the other.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cleanEnv } from '../e2e/support.mjs';

export class Session {
  #child;
  #rest = '';
  #waiting = [];
  lives = true;

  constructor(program, url) {
    this.#child = spawn(program, ['-XAtq', url], { env: cleanEnv(), stdio: ['pipe', 'pipe', 'ignore'] });
    this.#child.stdin.on('error', () => {});
    this.#child.stdout.setEncoding('utf8').on('data', (text) => this.#take(text));
    this.#child.on('close', () => {
      this.lives = false;
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('psql has ended'));
    });
  }

  // The rows of one statement, as psql prints them.
  ask(sql) {
    const mark = `end of ${randomBytes(8).toString('hex')}`;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ mark, resolve, reject });
      this.#child.stdin.write(`${sql};\n\\echo '${mark}' :ERROR :LAST_ERROR_MESSAGE\n`);
    });
  }

  #take(text) {
    this.#rest += text;
    while (this.#waiting.length > 0) {
      const { mark, resolve, reject } = this.#waiting[0];
      const at = this.#rest.indexOf(mark);
      const end = this.#rest.indexOf('\n', at);
      if (at < 0 || end < 0) return;
      const [, failed, message] = /^ (\S+) (.*)$/.exec(this.#rest.slice(at + mark.length, end));
      const answer = this.#rest.slice(0, at).trimEnd();
      this.#rest = this.#rest.slice(end + 1);
      this.#waiting.shift();
      if (failed === 'true') reject(new Error(`psql: ${message}`));
      else resolve(answer);
    }
  }

  close() {
    this.lives = false;
    this.#child.kill('SIGKILL');
  }
}
