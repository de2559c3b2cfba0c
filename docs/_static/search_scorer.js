// How the site's search ranks: a page whose own title has a word of the question (an environment's first) before pages
// that have it in a section, and those before members of classes of that name.
var Scorer = {
  score: ([page, title, anchor, , score]) => {
    const question = new URLSearchParams(window.location.search).get("q") || "";
    const words = question.toLowerCase().split(/\s+/).filter((word) => word.length > 2);
    if (anchor || !words.some((word) => title.toLowerCase().includes(word))) return score;
    return score + (page.startsWith("environments/") ? 30 : 20);
  },
  objNameMatch: 5,
  objPartialMatch: 3,
  objPrio: { 0: 5, 1: 2, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
