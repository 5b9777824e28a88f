// Sends the requests that tests/sdks/test_round_trips.py lists, with the generated SDK.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"satchel"
)

const lamp = "https://example.com/lamp.jpg"

func expect(holds bool, found ...any) {
	if !holds {
		panic(fmt.Sprint(found...))
	}
}

func expectStatus(response *http.Response, err error, status int) {
	expect(err == nil, err)
	expect(response.StatusCode == status, response.Status)
}

func expectProblem(err error, status int32, code string) satchel.Problem {
	answer, found := err.(*satchel.GenericOpenAPIError)
	expect(found, err)
	problem, found := answer.Model().(satchel.Problem)
	expect(found, answer)
	expect(problem.Status == status && problem.Code == code, problem)
	return problem
}

func names(page *satchel.ItemPage) string {
	found := ""
	for _, item := range page.Data {
		found += item.Name + " " + item.Price + ";"
	}
	return found
}

func main() {
	configuration := satchel.NewConfiguration()
	configuration.Servers = satchel.ServerConfigurations{{URL: os.Args[1]}}
	client := satchel.NewAPIClient(configuration)
	accounts, items := client.AccountsAPI, client.ItemsAPI
	ctx := context.WithValue(context.Background(), satchel.ContextAccessToken, os.Args[2])

	// Create.
	body := satchel.NewAccountCreate("ada@example.com", "ada")
	body.SetDob("1990-05-17")
	body.SetCountry("Jordan")
	body.SetPhoneNumber("0790000000")
	ada, response, err := accounts.CreateAccount(ctx).AccountCreate(*body).Execute()
	expectStatus(response, err, 201)
	expect(ada.GetCountry() == "JO" && ada.GetDob() == "1990-05-17" && ada.Version == 1, ada)
	body = satchel.NewAccountCreate("bob@example.com", "bob")
	bob, response, err := accounts.CreateAccount(ctx).AccountCreate(*body).Execute()
	expectStatus(response, err, 201)
	number, text := 1234567.89, "19.9"
	for name, price := range map[string]satchel.PriceInput{
		"Brass lamp": satchel.Float64AsPriceInput(&number),
		"Clock":      satchel.StringAsPriceInput(&text),
	} {
		item := satchel.NewItemCreate(ada.Id, name, lamp)
		item.SetPrice(price)
		_, response, err = items.CreateItem(ctx).ItemCreate(*item).Execute()
		expectStatus(response, err, 201)
	}

	// Read.
	read, response, err := accounts.RetrieveAccount(ctx, ada.Id).Execute()
	expectStatus(response, err, 200)
	expect(read.Email == "ada@example.com" && read.Created.Equal(ada.Created), read)

	// List: two sorts, and filters.
	dear, response, err := items.ListItems(ctx).Sort("-price").AccountId(ada.Id).Execute()
	expectStatus(response, err, 200)
	expect(names(dear) == "Brass lamp 1234567.89;Clock 19.90;", dear)
	found, response, err := items.ListItems(ctx).Sort("name").Q("lamp").PriceGte("20").Execute()
	expectStatus(response, err, 200)
	expect(names(found) == "Brass lamp 1234567.89;", found)
	page, response, err := accounts.ListAccounts(ctx).Sort("email").Count("exact").
		Country([]string{"FR", "JO"}).CreatedGte(ada.Created).DobLte("1990-05-17").Execute()
	expectStatus(response, err, 200)
	expect(len(page.Data) == 1 && page.Data[0].Id == ada.Id && page.GetCount() == 1, page)

	// Walk, one row a page.
	first, response, err := accounts.ListAccounts(ctx).Sort("-username").Limit(1).Execute()
	expectStatus(response, err, 200)
	second, response, err := accounts.ListAccounts(ctx).Sort("-username").Limit(1).
		Cursor(first.GetNextCursor()).Execute()
	expectStatus(response, err, 200)
	expect(first.Data[0].Id == bob.Id && second.Data[0].Id == ada.Id, first, second)
	expect(second.NextCursor.Get() == nil, second)

	// Change: what is left out stays, null clears.
	rename := satchel.NewAccountChange()
	rename.SetUsername("lovelace")
	changed, response, err := accounts.ChangeAccount(ctx, ada.Id).AccountChange(*rename).Execute()
	expectStatus(response, err, 200)
	expect(changed.Username == "lovelace" && changed.GetCountry() == "JO", changed)
	clear := satchel.NewAccountChange()
	clear.SetCountryNil()
	changed, response, err = accounts.ChangeAccount(ctx, ada.Id).AccountChange(*clear).
		IfMatch(`"2"`).Execute()
	expectStatus(response, err, 200)
	expect(changed.Country.Get() == nil && changed.GetPhoneNumber() == "+962790000000", changed)

	// Problems.
	_, _, err = accounts.ChangeAccount(ctx, ada.Id).AccountChange(*rename).IfMatch(`"1"`).Execute()
	expectProblem(err, 412, "stale_version")
	body = satchel.NewAccountCreate("nobody@localhost", "nobody")
	_, _, err = accounts.CreateAccount(ctx).AccountCreate(*body).Execute()
	problem := expectProblem(err, 422, "invalid_request")
	expect(problem.Errors[0].GetPointer() == "/email", problem)
	response, err = accounts.DeleteAccount(ctx, ada.Id).Cascade(true).Execute()
	expectStatus(response, err, 204)
	_, _, err = accounts.RetrieveAccount(ctx, ada.Id).Execute()
	expectProblem(err, 404, "account_not_found")
}
