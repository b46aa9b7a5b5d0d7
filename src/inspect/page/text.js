// The words of the page, English|Chinese, and how it writes numbers and times.

const WORDS = {
  title: 'apig-proxy inspector|apig-proxy 检查器',
  connecting: 'connecting|正在连接', live: 'live|实时', paused: 'paused|已暂停', ended: 'connection lost|连接已断开', unauthorized: 'no access|无权访问',
  pause: 'Pause|暂停', continue: 'Continue|继续', stop: 'Stop capture|停止捕获', resume: 'Resume capture|恢复捕获',
  clear: 'Clear|清空', help: 'Help|帮助', close: 'Close|关闭', cancel: 'Cancel|取消', download: 'Download|下载', copy: 'Copy|复制', copied: 'Copied|已复制',
  stopped: 'capture is stopped|捕获已停止', clock: 'clock|时钟', locked: 'locked after refusals|多次被拒绝后锁定', expired: 'expired|已过期', endsIn: 'ends in {0}|{0} 后到期',
  connections: 'connections: {0} active, {1} idle|连接:{0} 活动,{1} 空闲', memory: '{0} of {1} kept|已保留 {0} / {1}', headsOnly: 'heads only|仅头部',
  buffered: '{0} buffered|已缓冲 {0}', evicted: '{0} older requests removed|已移除 {0} 个较早的请求', unrecorded: '{0} requests or parts came too fast to be recorded|{0} 个请求或部分过快,未记录',
  filter: 'Filter|过滤', all: 'all|全部', error: 'errors|错误', hint: 'hint|提示', slow: 'slow|慢', open: 'open|未结束',
  time: 'Time|时间', method: 'Method|方法', path: 'Path|路径', state: 'Status|状态', took: 'Duration|耗时', size: 'In / out|入 / 出', route: 'Route|路由', caller: 'Caller|调用方', marks: 'Notes|标记',
  requests: 'Requests|请求', waiting: 'waiting|等待中', noAnswer: 'no answer|无响应', streaming: 'streaming|流式传输', gaps: 'gaps|不完整', replayed: 'replay|重放',
  empty: 'No requests yet|还没有请求', emptyHint: 'Send a first request through the proxy:|通过代理发送第一个请求:', noMatch: 'No match|没有匹配的请求',
  needToken: 'This page needs a token|本页面需要令牌',
  tokenHint: 'Open the address that the proxy prints at its start.|请打开代理启动时打印的地址。',
  retry: 'The proxy does not answer. Next try in {0} s.|代理没有响应,{0} 秒后重试。', loading: 'Loading …|正在加载…',
  replay: 'Replay|重放', edit: 'Edit and send|编辑并发送', copyAs: 'Copy as {0}|复制为 {0}',
  why: 'Why|原因', changes: 'Changes|改动', signature: 'Signature|签名', answer: 'Answer|响应', timing: 'Time|时间', raw: 'Raw|原文', details: 'Details|详情',
  fine: 'Nothing to explain.|没有需要说明的问题。', unsent: 'Nothing was sent to the gateway.|没有向网关发送任何内容。',
  gatewayId: 'Gateway request id|网关请求 ID', whatToDo: 'What to do|处理方法', missing: 'Missing from this record|此记录缺少的内容',
  caller_gone: 'The caller left early.|调用方提前断开。', broken_off: 'The response broke off.|响应中途断开。', cut_off: 'The proxy cut the response off.|代理提前结束了响应。',
  firstDifference: 'First difference: line {0}|第一处差异:第 {0} 行', proxy: 'Proxy|代理', gateway: 'Gateway|网关',
  attempt: 'Attempt {0}|第 {0} 次尝试', new: 'new connection|新建连接', reused: 'reused connection|复用连接', clockBy: 'clock corrected by {0}|时钟校正 {0}',
  dropped: 'removed|移除', set: 'set|设置', rewritten: 'rewritten|改写', keptLines: '{0} fields unchanged|{0} 个字段未变', requestLine: 'request line|请求行',
  change: 'Change|改动', field: 'Field|字段', before: 'Received|收到', after: 'Sent|发出', reason: 'Reason|理由',
  noBody: 'No body.|没有正文。', bodyOff: 'Not recorded.|未记录。', partOf: 'the first {0} of {1}|{1} 中的前 {0}', decoded: '{1} ({0}), shown decoded|{1}({0}),解码后显示',
  canonical: 'Canonical request|规范请求', toSign: 'String to sign|待签名字符串', echo: 'What the gateway read|网关读到的内容',
  unsigned: 'Not signed. Authenticated by: {0}.|未签名,认证方式:{0}。',
  request: 'Request|请求', wait: 'Wait|等待', dns: 'Name|域名', tcp: 'TCP', tls: 'TLS', sign: 'Sign|签名', send: 'Send|发送', body: 'Body|正文',
  sendAgain: 'Send {0} again?|再次发送 {0}?', sendAgainHint: 'The gateway may carry it out a second time.|网关可能会再次执行该请求。',
  clearAll: 'Remove all {0} kept requests?|移除全部 {0} 个请求?', target: 'Target|目标', headers: 'Headers|头部',
  notText: 'Not text. It stays as it was, unless replaced.|非文本。如不替换,则保持原样。',
  keys: 'Keys|按键', keysOn: 'Single-key shortcuts|单键快捷键', theme: 'Colours|颜色', 'light dark': 'auto|自动', light: 'light|浅色', dark: 'dark|深色', language: 'Language|语言', en: 'English', zh: '简体中文',
};

let language = 0;

/** Chooses `en` or `zh`. */
export function speak(name) {
  language = name === 'zh' ? 1 : 0;
  document.documentElement.lang = name;
}

/** The text of a name; `{0}` and so on stand for the values. */
export function t(name, ...values) {
  const both = (WORDS[name] ?? name).split('|');
  return (both[language] ?? both[0]).replace(/\{(\d)\}/g, (_, at) => values[at]);
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  const [value, unit] = count < 1 << 20 ? [count / 1024, 'KiB'] : [count / 1048576, 'MiB'];
  return `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
}

export function duration(us) {
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1e3).toFixed(us < 1e4 ? 1 : 0)} ms`;
  return us < 6e7 ? `${(us / 1e6).toFixed(us < 1e7 ? 2 : 1)} s` : long(us / 1e6);
}

/** A number of seconds in its two largest units. */
export function long(seconds) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = units.findIndex(([size]) => seconds >= size);
  if (at < 0) return '0 s';
  const [[size, unit], next] = [units[at], units[at + 1]];
  const rest = next && Math.floor((seconds % size) / next[0]);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${next[1]}` : ''}`;
}

export const signed = (seconds) => `${seconds < 0 ? '−' : '+'}${long(Math.abs(seconds))}`;

export function clock(ms) {
  const at = new Date(ms);
  return `${at.toTimeString().slice(0, 8)}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}
