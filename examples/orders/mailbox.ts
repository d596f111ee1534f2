import { createServer } from 'node:http';

/** Stands for a mail service: prints what it is given. */
createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  request.on('end', () => {
    console.log(text);
    response.end();
  });
}).listen(4800, '127.0.0.1', () => console.log('mails to http://127.0.0.1:4800 are printed here'));
