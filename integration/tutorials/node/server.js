const express = require('express');

const app = express();
app.get('/', (request, response) => {
  response.send('express answers from an image that kiln built\n');
});
app.listen(3000);
