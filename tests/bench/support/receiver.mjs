// Runs under webhooks.mjs, in a process of its own: endpoints that count what they are sent. Messages to it: {add: name, kind}
// (answered with {url}), {report: [names]} (answered with what came to them), {forget: true}.
import { Receiver, behaviours } from '../../cluster/ledger.mjs';

const receiver = await Receiver.start();

const summaryOf = (name) => {
  const { arrivals, requests, duplicates } = receiver.ledgers.get(`/${name}`);
  return {
    name, requests, duplicates,
    arrived: arrivals.length,
    lags: arrivals.map(({ lag }) => lag),
    sequences: arrivals.map(({ sequence }) => sequence),
    last: arrivals.at(-1)?.at,
  };
};

process.on('message', (message) => {
  if (message.add) process.send({ url: receiver.add(message.add, behaviours[message.kind ?? 'good']).url });
  if (message.report) {
    try {
      receiver.check();
      process.send({ all: message.report.map(summaryOf), memory: process.memoryUsage().rss });
    } catch (error) {
      process.send({ failed: error.message });
    }
  }
  if (message.forget) {
    receiver.ledgers.clear();
    process.send({ forgotten: true });
  }
});
