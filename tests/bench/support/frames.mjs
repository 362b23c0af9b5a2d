// Reads the bytes of an event stream's answer cheaply: counts the frames that have an id, which every reader gets alike,
// and hashes them; the others (heartbeats, greetings) are skipped.
import { createHash } from 'node:crypto';

const letterI = 'i'.charCodeAt(0); // of `id: `

export class Frames {
  count = 0;
  #hash = createHash('sha256');
  #rest = Buffer.alloc(0);

  feed(piece) {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, piece]) : piece;
    let at = 0;
    for (let end = bytes.indexOf('\n\n'); end >= 0; end = bytes.indexOf('\n\n', at)) {
      if (bytes[at] === letterI) {
        this.#hash.update(bytes.subarray(at, end + 2));
        ++this.count;
      }
      at = end + 2;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }

  get digest() {
    return this.#hash.copy().digest('hex');
  }
}
