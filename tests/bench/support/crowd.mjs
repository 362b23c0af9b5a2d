// A process that holds many connections open for a measurement (Crowd in front.mjs).
import net from 'node:net';

import { Frames } from './frames.mjs';

const atOnce = 50; // connections that are being opened

process.once('message', ({ host, port, count, requests, reads, settled }) => {
  const ends = [];
  let opened = 0;
  let ready = 0;
  const fail = (why) => process.send({ failed: `a connection of a crowd: ${why}` });

  function open() {
    if (opened === count) return;
    const which = opened++ % requests.length;
    const socket = net.connect({ host, port, noDelay: true }, () => {
      socket.write(requests[which]);
      if (reads === 'nothing') stand();
    });
    const frames = new Frames();
    let head = '';
    let standsFor = false;
    let good = false;

    function stand() {
      if (standsFor) return;
      standsFor = true;
      if (++ready === count) process.send({ ready });
      open();
    }
    // The head, and as much of the body as came with it.
    function begin(piece) {
      head += piece.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!/^HTTP\/1\.\d 200 /.test(head)) return fail(head);
      if (/\r\ntransfer-encoding:/i.test(head.slice(0, end))) return fail('the answer comes in chunks: this reader knows none');
      good = true;
      const body = Buffer.from(head.slice(end + 4), 'latin1');
      head = '';
      if (body.length > 0) take(body);
    }
    function take(piece) {
      if (reads === 'answer') return stand();
      frames.feed(piece);
      if (frames.count >= settled) stand();
    }
    if (reads === 'nothing') socket.pause();
    else socket.on('data', (piece) => (good ? take(piece) : begin(piece)));
    socket.on('error', (error) => fail(error.message));
    socket.on('end', () => {
      if (!standsFor) return fail('closed at its start');
      ends.push([which, frames.count, frames.digest]);
      if (ends.length === count) process.send({ ends });
    });
  }
  for (let i = 0; i < Math.min(atOnce, count); ++i) open();
});
// Nothing is left in TIME_WAIT, whose ports the next crowd needs: the process ends, and the kernel resets what was unread.
process.on('disconnect', () => process.exit());
