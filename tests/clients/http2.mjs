// Sends the requests that come as JSON lines over one HTTP/2 connection with prior knowledge, several at once, and prints a JSON
// line for each answer, in the order of the requests.
import http2 from "node:http2";
import { createInterface } from "node:readline";

const AT_ONCE = 8;
const lines = [];
for await (const line of createInterface({ input: process.stdin })) lines.push(JSON.parse(line));
// Node counts bodies that wait against this, in MB, and refuses its own streams beyond it.
const session = http2.connect(lines[0].origin, { maxSessionMemory: 512 });
const answers = [];

async function send({ method, target, headers, body, chunked }) {
  const bytes = Buffer.from(body, "latin1");
  const head = { ":method": method, ":path": target };
  for (const [name, value] of headers) head[name] = name in head ? [head[name], value].flat() : value;
  if (bytes.length > 0 && !chunked) head["content-length"] = bytes.length;
  const stream = session.request(head, { endStream: bytes.length === 0 });
  const status = new Promise((resolve, reject) => {
    stream.on("response", (answer) => resolve(answer[":status"]));
    stream.on("error", reject);
    stream.on("close", () => reject(new Error(`stream closed with ${stream.rstCode}`)));
  });
  if (bytes.length > 0) stream.end(bytes);
  const read = async () => {
    const pieces = [];
    for await (const piece of stream) pieces.push(piece);
    return JSON.parse(Buffer.concat(pieces));
  };
  const [code, json] = await Promise.all([status, read()]);
  return { sent: target, status: code, json };
}

let next = 0;
const workers = Array.from({ length: AT_ONCE }, async () => {
  for (let index = next++; index < lines.length; index = next++) answers[index] = await send(lines[index]);
});
await Promise.all(workers);
session.close();
for (const answer of answers) console.log(JSON.stringify(answer));
