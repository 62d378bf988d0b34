// The order of search results: pages of the book, then the library; but a function that is named comes first.
var Scorer = {
  objNameMatch: 1000,
  objPartialMatch: 0,
  objPrio: { 0: 0, 1: 0, 2: 0 },
  objPrioDefault: 0,
  title: 30,
  partialTitle: 15,
  term: 5,
  partialTerm: 2,
  score: ([name, , , , score]) => (/^(notebooks|book)\/(?!api)/.test(name) || score >= 1000 ? score : score / 1000),
};
