// The words of Sphinx's search page. The number is left to the end, where it needs no plural.
Documentation.addTranslations({
  locale: "ar",
  plural_expr: "n > 1 ? 1 : 0",
  messages: {
    "Search Results": "نتائج البحث",
    Searching: "جارٍ البحث",
    "Preparing search...": "جارٍ تجهيز البحث…",
    "Your search did not match any documents. Please make sure that all words are spelled correctly and that you've selected enough categories.":
      "لا توجد صفحة فيها كل هذه الكلمات. جرّب كلمات أقل أو غيرها.",
    "Search finished, found one page matching the search query.": [
      "وُجدت صفحة واحدة.",
      "عدد الصفحات التي وُجدت: ${resultCount}.",
    ],
    ", in ": "، في ",
  },
});
