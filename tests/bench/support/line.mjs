// One keep-alive connection, one request at a time.
import net from 'node:net';

export class Line {
  #text = '';
  #done;

  // `from`: the address of our end, of 127.0.0.0/8.
  constructor({ host, port, from }) {
    this.socket = net.connect({ host, port, localAddress: from, noDelay: true });
    this.socket.on('data', (piece) => this.#take(piece));
    this.socket.on('error', () => {}).on('close', () => this.#finish(undefined));
  }

  // Calls `done(status, whether the connection can be used again)`; without a status the connection was lost.
  ask(bytes, done) {
    if (this.socket.destroyed) return done(undefined, false);
    this.#done = done;
    this.socket.write(bytes);
  }

  #take(piece) {
    this.#text += piece.toString('latin1');
    const head = this.#text.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#text.slice(0, head))?.[1] ?? 0);
    if (this.#text.length < head + 4 + length) return;
    const status = Number(this.#text.slice(9, 12));
    this.#text = '';
    this.#finish(status);
  }

  #finish(status) {
    const done = this.#done;
    this.#done = undefined;
    done?.(status, status !== undefined && !this.socket.destroyed);
  }
}
