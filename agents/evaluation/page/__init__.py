"""Parts of the page of an evaluation that a browser reads: `page.css` and `page.js`."""
