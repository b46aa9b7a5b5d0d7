// Sends the requests that come as JSON lines with fetch, and prints a JSON line for each answer.
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  const { method, url, headers, body, chunked } = JSON.parse(line);
  const bytes = Buffer.from(body, "latin1");
  const init = { method, headers: new Headers(), redirect: "manual" };
  for (const [name, value] of headers) init.headers.append(name, value);
  if (bytes.length > 0) init.body = bytes;
  if (bytes.length > 0 && chunked) {
    init.body = new Blob([bytes]).stream();
    init.duplex = "half";
  }
  const answer = await fetch(url, init);
  // What fetch makes of a URL before it sends it.
  const { pathname, search } = new URL(url);
  console.log(JSON.stringify({ sent: pathname + search, status: answer.status, json: await answer.json() }));
}
